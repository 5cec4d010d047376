"""A job that can be checked afterwards, and the witness it reports to.

The job prints numbered, checksummed lines and says over a socket when its body begins and ends; so a second start,
a lost line or a wrong end time cannot hide.
"""

import socket
import threading
import zlib
from dataclasses import dataclass, field

JOB = """
import os, socket, sys, time, zlib
name = os.environ["FATHOM_RUN_ID"] + " " + os.environ["FATHOM_ATTEMPT"]
def tell(word):
    with socket.create_connection(("127.0.0.1", {port}), timeout=30) as line:
        line.sendall((word + " " + name + " " + repr(time.time())).encode())
tell("start")
for n in range({lines}):
    text = str(n) + " " + "x" * (n % 50)
    print(text, format(zlib.crc32(text.encode()), "08x"), flush=True)
    time.sleep({seconds} / {lines})
tell("end")
sys.exit({code})
"""


@dataclass
class Witness:
    """Listens for the jobs; `starts` and `ends` map (run, attempt) to the times they told."""

    starts: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    ends: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            with line:
                line.settimeout(5)
                text = _all(line)
            word, run, attempt, moment = text.split()
            book = self.starts if word == "start" else self.ends
            book.setdefault((run, attempt), []).append(float(moment))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def job(self, *, seconds: float, lines: int = 100, code: int = 0) -> dict[str, object]:
        """Return the specification of a job that runs for about `seconds` and exits with `code`."""
        text = JOB.format(port=self.port, lines=lines, seconds=seconds, code=code)
        return {
            "kind": "python",
            "name": f"witnessed {code}",
            "command": ["python", "-c", text],
            "resources": {"cpu": "100m", "memory": "64Mi"},
        }


def _all(line: socket.socket) -> str:
    return b"".join(iter(lambda: line.recv(4096), b"")).decode()


def check_log(log: str, lines: int) -> list[str]:
    """Name what is wrong with a log: a line missing, doubled, out of order or damaged."""
    problems = []
    found = log.splitlines()
    if len(found) != lines:
        problems.append(f"{len(found)} lines instead of {lines}")
    for number, line in enumerate(found):
        text, _, check = line.rpartition(" ")
        if not text.startswith(f"{number} ") or format(zlib.crc32(text.encode()), "08x") != check:
            problems.append(f"line {number} is {line[:60]!r}")
            break
    return problems
