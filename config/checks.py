"""`make check`: every check that needs no running platform, each with its name, all of them even when one fails."""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.env import REPOSITORY

_BIN = Path(sys.executable).parent
_MANAGE = (sys.executable, "manage.py")
_API = Path("docs/api/openapi.yml")

_PRODUCTION: Mapping[str, str] = {
    "DJANGO_SETTINGS_MODULE": "config.settings.production",
    "SECRET_KEY": secrets.token_urlsafe(60),
    "FATHOM_DATA_KEY": secrets.token_hex(32),
    "FATHOM_CREDENTIAL_KEYS": f"first:{secrets.token_hex(32)}",
    "DATABASE_URL": "postgresql://fathom@db.example/fathom",
    "REDIS_URL": "redis://redis.example/0",
    "FATHOM_URL": "https://fathom.example",
    "FATHOM_CONTENT_URL": "https://content.fathom.example",
}


def _run(name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> bool:
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 -- our own tools
        command,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    passed = done.returncode == 0
    print(f"{'ok    ' if passed else 'FAILED'} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    if not passed:
        print(done.stdout, flush=True)
    return passed


def _migrations_are_complete() -> bool:
    # It would compare with what a database has applied, but does without one that cannot be reached.
    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nowhere"}
    command = [sys.executable, "-W", "ignore::RuntimeWarning", "manage.py", "makemigrations", "--check", "--dry-run"]
    return _run("migrations are complete", command, nowhere)


def _api_document_is_current() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "openapi.yml"
        command = [*_MANAGE, "spectacular", "--validate", "--fail-on-warn", "--file", str(fresh)]
        if not _run("API document is valid", command):
            return False
        return _run("API document is the committed one (make schema)", ["diff", "-u", str(_API), str(fresh)])


def main() -> int:
    """Return the exit code."""
    results = [
        _run("lint", [_BIN / "ruff", "check", "."]),
        _run("format", [_BIN / "ruff", "format", "--check", "."]),
        _run("types", [_BIN / "mypy"]),
        _run("layers", [_BIN / "lint-imports"]),
        _run("deployment", [*_MANAGE, "check", "--deploy", "--fail-level", "WARNING"], _PRODUCTION),
        _migrations_are_complete(),
        _api_document_is_current(),
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
