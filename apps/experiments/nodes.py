"""Runs as nodes of the lineage."""

from django.urls import reverse

from apps.lineage.registry import Described, OwnedKind
from apps.tracking.models import Run


def _describe(run: Run) -> Described:
    return Described(run.name, run.project.name, reverse("run", args=[run.pk]))


RUNS = OwnedKind("run", "run", Run, _describe, ("project",))
