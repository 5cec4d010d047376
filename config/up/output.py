"""What a person sees: one line per event, with the name of the process in front."""

import os
import sys
from pathlib import Path
from typing import IO

_COLOURS = {"up": 36, "postgres": 34, "valkey": 35, "web": 32, "worker": 33, "prepare": 36, "sample": 95}
_WIDTH = max(map(len, _COLOURS))
_LARGEST_LOG = 16 << 20


def _wants_colour() -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))


class Console:
    """Writes to standard output, and each process's lines to its own log as well."""

    def __init__(self, logs: Path | None = None) -> None:
        self._logs = logs
        self._files: dict[str, IO[bytes]] = {}
        self._colour = _wants_colour()

    def say(self, text: str, *, name: str = "up", strong: bool = False) -> None:
        colour = _COLOURS.get(name, 37)
        if self._colour:
            text = f"\033[1m{text}\033[0m" if strong else text
            line = f"\033[{colour}m{name:<{_WIDTH}} |\033[0m {text}"
        else:
            line = f"{name:<{_WIDTH}} | {text}"
        try:
            print(line, flush=True)
        except (BrokenPipeError, OSError):  # the terminal is gone, the platform goes on
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 -- for the rest of the process

    def relay(self, name: str, line: bytes) -> None:
        """Show a line of a child and keep it."""
        self.say(line.decode(errors="replace"), name=name)
        log = self._log(name)
        if log is not None:
            log.write(line + b"\n")

    def _log(self, name: str) -> IO[bytes] | None:
        if self._logs is None:
            return None
        if name not in self._files:
            self._files[name] = (self._logs / f"{name}.log").open("ab", buffering=0)
        file = self._files[name]
        if file.tell() > _LARGEST_LOG:
            file.close()
            path = self._logs / f"{name}.log"
            path.replace(path.with_suffix(".log.1"))
            self._files[name] = file = path.open("ab", buffering=0)
        return file
