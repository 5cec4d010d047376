"""The child that prepares the database, seen from the supervisor; and what is remembered so that it can mostly be left out."""

import contextlib
import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from config.embedded.errors import StartError
from config.env import REPOSITORY
from config.up.children import how_it_ended


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a finished preparation has found."""

    setup_path: str = ""  # of the first admin's link; empty when there is an admin
    demo_token: str = ""


class Mark:
    """Remembers, beside the tables that it speaks of, for which migrations they are ready.

    Only to start sooner: when in doubt everything is looked at again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "prepared.json"
        self._fingerprint = _fingerprint()
        self._known: dict[str, object] = {}
        with contextlib.suppress(OSError, orjson.JSONDecodeError):
            self._known = orjson.loads(self._path.read_bytes())

    @property
    def is_current(self) -> bool:
        return self._known.get("fingerprint") == self._fingerprint

    @property
    def has_admin(self) -> bool:
        return self.is_current and self._known.get("has_admin") is True

    def write(self, prepared: Prepared) -> None:
        known = {"fingerprint": self._fingerprint, "has_admin": not prepared.setup_path}
        self._path.write_bytes(orjson.dumps(known))


class Preparation:
    """One run of `config.up.prepare`."""

    def __init__(self, start: Callable[[str, int], subprocess.Popen[bytes]]) -> None:
        """Start it: `start` gets the module's name and the descriptor on which it reports."""
        self._reports, theirs = os.pipe()
        self.process = start("config.up.prepare", theirs)
        os.close(theirs)

    def result(self) -> Prepared | None:
        """Return what it found, None while it is running. Raises: StartError when it failed."""
        if self.process.poll() is None:
            return None
        with os.fdopen(self._reports, "rb") as pipe:
            report = pipe.read()
        if self.process.returncode != 0 or not report:
            msg = f"Preparing the database failed (it {how_it_ended(self.process.returncode)}); the reason is above."
            raise StartError(msg)
        found = orjson.loads(report)
        return Prepared(found["setup_path"], found.get("demo_token", ""))


def _fingerprint() -> str:
    """Return what tells one set of migrations from another."""
    digest = hashlib.sha256()
    for path in sorted((REPOSITORY / "apps").glob("*/migrations/*.py")):
        digest.update(str(path.relative_to(REPOSITORY)).encode() + path.read_bytes())
    pinned = REPOSITORY / "requirements.txt"  # Django and guardian bring migrations as well
    digest.update(pinned.read_bytes() if pinned.exists() else b"")
    return digest.hexdigest()
