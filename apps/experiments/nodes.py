"""Runs as nodes of the lineage: a run that a job stands behind has a page."""

from django.urls import reverse

from apps.lineage.registry import Described, OwnedKind
from apps.tracking.models import Run


def _describe(run: Run) -> Described:
    is_job = getattr(run, "experiment", None) is not None
    return Described(run.name, run.project.name, reverse("experiment", args=[run.pk]) if is_job else "")


RUNS = OwnedKind("run", "run", Run, _describe, ("project", "experiment"))
