"""Which cluster a workload goes to."""

from collections.abc import Mapping
from typing import Any

from apps.compute.models import Cluster
from apps.core.errors import Invalid


def choose(wish: Mapping[str, Any]) -> Cluster:
    """Return the first open cluster, oldest first, that has the wished name, kind and labels.

    Raises: Invalid, saying which clusters there are, when none matches.
    """
    clusters = Cluster.objects.filter(is_enabled=True).order_by("is_drained", "created_at")
    if name := wish.get("name"):
        clusters = clusters.filter(name=name)
    if kind := wish.get("kind"):
        clusters = clusters.filter(kind=kind)
    if labels := wish.get("labels"):
        clusters = clusters.filter(labels__contains=labels)
    found = clusters.first()
    if found is None:
        there = ", ".join(Cluster.objects.filter(is_enabled=True).values_list("name", flat=True)) or "none"
        raise Invalid(errors={"cluster": [f"No cluster matches. There are: {there}."]})
    return found
