"""Django's half of a start: migrations, this machine's cluster, the first admin's link. Runs once and ends.

Says what it found as one JSON object on the file descriptor that its argument names: links and tokens do not belong into
output that is also logged.
"""

import os
import sys
import time
from datetime import timedelta
from typing import Any

import django
import orjson
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

DEMO_USER = "demo"
_DATABASE_PATIENCE_SECONDS = 60.0


def main() -> None:
    report_fd, wants_sample = int(sys.argv[1]), sys.argv[2:] == ["--sample"]
    os.set_inheritable(report_fd, False)
    django.setup()
    _wait_for_database()
    report: dict[str, Any] = {"migrations": _migrate()}
    _register_this_machine()
    report["setup_path"] = _setup_path()
    if wants_sample:
        report["demo_token"] = _demo_token()
    with os.fdopen(report_fd, "wb") as pipe:
        pipe.write(orjson.dumps(report))


def _wait_for_database() -> None:
    deadline = time.monotonic() + _DATABASE_PATIENCE_SECONDS
    while True:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"The database cannot be reached: {str(error).strip()}")
            time.sleep(0.02)
        else:
            return


def _migrate() -> int:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        call_command("migrate", verbosity=0, interactive=False, skip_checks=True)
    return len(plan)


def _register_this_machine() -> None:
    from apps.compute.services import ensure_local_cluster  # noqa: PLC0415 -- after django.setup()

    ensure_local_cluster()


def _setup_path() -> str:
    from apps.accounts import services  # noqa: PLC0415 -- after django.setup()
    from apps.core.errors import NotAllowed  # noqa: PLC0415 -- as above

    try:
        return services.issue_setup_link()
    except NotAllowed:  # there is an admin
        return ""


def _demo_token() -> str:
    """Return a token of a day for a user without password or rights, who owns the sample."""
    from apps.access.principal import SYSTEM  # noqa: PLC0415 -- after django.setup()
    from apps.accounts import services  # noqa: PLC0415 -- as above
    from apps.accounts.models import User  # noqa: PLC0415 -- as above

    user = User.objects.filter(username=DEMO_USER).first() or services.create_user(DEMO_USER, by=SYSTEM)
    _, value = services.issue_token(user, by=SYSTEM, name="sample of `make run`", expires_in=timedelta(days=1))
    return value


if __name__ == "__main__":
    main()
