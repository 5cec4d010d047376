"""The periodic sync as a step of the Celery worker: a thread of its own, for a slow directory must not stop other loops."""

import threading
from typing import Any

import structlog
from celery import bootsteps
from django.conf import settings
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from typing_extensions import override

from apps.directory import services
from apps.directory.config import ldap_config

logger = structlog.get_logger(__name__)

_LOOK_SECONDS = 30.0  # whether a sync is due stands in the database, so that several workers make one


class SyncStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Syncs every FATHOM_DIRECTORY_SYNC_MINUTES, where there is a directory that can be asked."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @override
    def start(self, parent: Any) -> None:
        if ldap_config() is None or not settings.FATHOM_DIRECTORY_SYNC_MINUTES:
            return
        self._thread = threading.Thread(target=self._run, name="directory", daemon=True)
        self._thread.start()

    @override
    def stop(self, parent: Any) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                services.sync_if_due()
            except (OperationalError, InterfaceError) as error:
                logger.warning("database_unavailable", thread="directory", error=str(error).strip())
                connections.close_all()
            except Exception:  # the outermost level of a loop: a bug must not end it
                logger.exception("loop_failed", thread="directory")
            close_old_connections()
            self._stop.wait(_LOOK_SECONDS)
        connections.close_all()
