"""The worker of one machine: `celery -A config worker` without the parts of its command line that it does not use.

They would take half a second and 20 MB. Where workers are started by hand or by an orchestrator, use Celery's own command.
"""

import os
import sys

# Checks are made by `manage.py check` and by the tests; here they would load every page and the whole API.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from config.celery import app


def main() -> None:
    worker = app.Worker(
        pool="threads",
        loglevel="INFO",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
