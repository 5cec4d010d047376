"""Files: one of 256 MB up and down, many small ones, and whether memory stays flat."""

import hashlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fathom
from benchmarks.report import Result
from tests.platform import Platform, proportional_memory

_SIZE = 256 << 20
_SMALL, _THREADS = 1000, 8
_CHUNK = 1 << 20
_ROUNDS = 3


def transfers(platform: Platform, token: str) -> list[Result]:
    """Measure by the SDK, alternating with its floors in the same rounds; return medians."""
    client = fathom.Client(platform.url, token)
    run = client.runs.create(name="files").id
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="fathom-files-") as name:
        folder = Path(name)
        before = proportional_memory([platform.pid_of("web")]) / 1e6
        for number in range(_ROUNDS):
            for what, seconds in _round(client, run, folder, number).items():
                taken.setdefault(what, []).append(_SIZE / 1e6 / seconds)
        grown = proportional_memory([platform.pid_of("web")]) / 1e6 - before
        small = _small_files(client, run, folder)
    speed = {what: sorted(found)[len(found) // 2] for what, found in taken.items()}
    note = f"{_ROUNDS} rounds, random bytes, hashes checked at both ends"
    up, down = speed["parts"], speed["down"]
    return [
        Result(
            "upload of 256 MB in parts, by the SDK", up, "MB/s", "≥ 50 MB/s", up >= 50,
            speed["cp"], "cp and fsync, hashed twice", note,
        ),
        Result(
            "download of 256 MB, by the SDK", down, "MB/s", "≥ 100 MB/s", down >= 100,
            speed["socket"], "a plain socket to a file", note,
        ),
        Result("memory that the web process gained by it (PSS)", grown, "MB", "≤ 64 MB", grown <= 64),
        Result(f"small files, {_THREADS} clients", small, "files/s", "≥ 100/s", small >= 100, note=f"{_SMALL} of 1 kB"),
    ]  # fmt: skip


def _round(client: fathom.Client, run: str, folder: Path, number: int) -> dict[str, float]:
    source, name = folder / "large.bin", f"large-{number}.bin"
    source.write_bytes(os.urandom(1 << 20) * (_SIZE >> 20))
    return {
        "parts": _timed(lambda: client.runs.put_artifact(run, source, name)),
        "cp": _timed(lambda: _copy(source, folder / "copy")),
        "down": _timed(lambda: client.runs.get_artifact(run, name, folder / "back")),
        "socket": _timed(lambda: _through_a_socket(source, folder / "copy")),
    }


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _copy(source: Path, target: Path) -> None:
    """Do what nobody who keeps a file by its hash can do without: read, hash, write, fsync; and hash what was sent."""
    digest = hashlib.sha256()
    with source.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            digest.update(chunk)
        os.fsync(file.fileno())


def _through_a_socket(source: Path, target: Path) -> None:
    one, other = socket.socketpair()

    def send() -> None:
        with one, source.open("rb") as file:
            one.sendfile(file)

    sender = threading.Thread(target=send)
    sender.start()
    with other, target.open("wb") as file:
        while chunk := other.recv(_CHUNK):
            file.write(chunk)
    sender.join()


def _small_files(client: fathom.Client, run: str, folder: Path) -> float:
    files = []
    for number in range(_SMALL):
        file = folder / f"small-{number}"
        file.write_bytes(os.urandom(1000))
        files.append(file)
    with ThreadPoolExecutor(_THREADS) as pool:
        begun = time.perf_counter()
        list(pool.map(lambda file: client.runs.put_artifact(run, file, f"small/{file.name}"), files))
        return _SMALL / (time.perf_counter() - begun)
