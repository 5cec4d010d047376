"""Versions of environments as nodes of the lineage."""

from django.urls import reverse

from apps.environments.models import EnvironmentVersion
from apps.lineage.registry import Described, OwnedKind

KIND = "environmentversion"


def _describe(version: EnvironmentVersion) -> Described:
    url = reverse("environment-version", args=[version.environment_id, version.number])
    return Described(str(version), f"{len(version.packages)} packages", url)


VERSIONS = OwnedKind(KIND, "environment", EnvironmentVersion, _describe, ("environment",))
