"""The reconcile loops as a step of the Celery worker: they start before the broker is asked for, and without it."""

from typing import Any

from celery import bootsteps
from typing_extensions import override

from apps.compute.reconcile import loop
from apps.core import garbage


class ReconcileStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery has no types
    """Runs this worker's loops from its start to its end."""

    requires = ("celery.worker.components:Pool",)

    @override
    def start(self, parent: Any) -> None:
        garbage.collect_seldom()
        loop.start_here()

    @override
    def stop(self, parent: Any) -> None:
        loop.stop_here()
