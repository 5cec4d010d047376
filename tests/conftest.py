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

import django
import pytest

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


def pytest_configure(config: pytest.Config) -> None:
    # The server is thrown away as a whole: dropping its databases one by one would only take time.
    config.option.reuse_db = True
