"""Model versions as nodes of the lineage."""

from django.urls import reverse

from apps.lineage.registry import Described, OwnedKind
from apps.models.models import ModelVersion


def _describe(version: ModelVersion) -> Described:
    url = reverse("modelversion", args=[version.model_id, version.number])
    return Described(f"{version.model.name} {version.number}", version.stage if version.stage != "None" else "", url)


VERSIONS = OwnedKind("modelversion", "model version", ModelVersion, _describe, ("model",))
