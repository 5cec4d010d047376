"""Celery: the worker that carries the reconcile loops, and the hints that wake them."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("fathom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# One process, threads: tasks are hints and the loops mostly wait for PostgreSQL and for backends.
app.conf.worker_pool = "threads"
app.conf.worker_concurrency = 2
app.conf.beat_schedule = {"reconcile": {"task": "compute.reconcile", "schedule": 5.0}}


@app.on_configure.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _add_loops(**_: object) -> None:
    from apps.compute.bootstep import ReconcileStep  # noqa: PLC0415 -- the worker's own part, loaded with its settings

    app.steps["worker"].add(ReconcileStep)
