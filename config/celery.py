"""Celery: the worker that carries the reconcile loops, and the hints that wake them."""

import os
import warnings

from celery import Celery
from celery.platforms import SecurityWarning

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

# It warns root of pickle, which is switched off.
warnings.filterwarnings("ignore", category=SecurityWarning)

app = Celery("fathom")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# One process, threads: tasks are hints and the loops mostly wait for PostgreSQL and for backends.
app.conf.worker_pool = "threads"
app.conf.worker_concurrency = 2
app.conf.beat_schedule = {"reconcile": {"task": "compute.reconcile", "schedule": 5.0}}

# By name: the worker loads it when Django is up; the web process, which only sends hints, never does.
app.steps["worker"].add("apps.compute.bootstep:ReconcileStep")
app.steps["worker"].add("apps.directory.bootstep:SyncStep")
