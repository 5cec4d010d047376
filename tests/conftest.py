"""One PostgreSQL and one Valkey for the whole session, started before Django reads its settings.

They live in a temporary folder behind private sockets and die with this process, even when it is killed. With
DATABASE_URL (and REDIS_URL) given, those servers are used instead.
"""

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import django
import pytest
from xdist.scheduler import LoadScopeScheduling

from config.embedded.postgres import Postgres
from config.embedded.valkey import Valkey


def _start_servers() -> None:
    home = Path(tempfile.mkdtemp(prefix="fathom-test-"))
    for name in ("run", "log"):
        (home / name).mkdir(mode=0o700)
    postgres, valkey = Postgres(home, throw_away=True), Valkey(home)
    running: list[subprocess.Popen[bytes]] = []

    def stop() -> None:
        # Nothing in there is wanted any more: no time is spent on an orderly end.
        for process, number in zip(running, (signal.SIGQUIT, signal.SIGKILL), strict=False):
            process.send_signal(number)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)

    atexit.register(stop)
    valkey.prepare()
    postgres.prepare()
    running.append(postgres.start(on_parent_death=signal.SIGQUIT))
    running.append(valkey.start(on_parent_death=signal.SIGKILL))
    postgres.wait(running[0])
    valkey.wait(running[1])
    os.environ |= {"FATHOM_HOME": str(home), "DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}


os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"
if not os.environ.get("DATABASE_URL"):
    _start_servers()
django.setup()  # conftest.py files further down import models


class _ByScope(LoadScopeScheduling):
    """Which tests stay in one process when there are several (`--dist loadscope`): mostly those of a file.

    The pages of tests/e2e have one platform between them. The tests of tests/kill have nothing in common, and one file of
    them would keep the others waiting at the end.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith("tests/kill/"):
            return nodeid
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return _ByScope(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_configure(config: pytest.Config) -> None:
    # The server is thrown away as a whole: dropping its databases one by one would only take time.
    config.option.reuse_db = True
