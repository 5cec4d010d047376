"""Names, units and words of what is limited."""

from django.db.models import TextChoices

CPU, MEMORY, GPU, DISK, EXPERIMENTS = "cpu", "memory", "gpu", "disk", "experiments"


class NodeKind(TextChoices):
    PLATFORM = "platform", "Platform"
    ORGANIZATION = "organization", "Organization"
    TEAM = "team", "Team"
    USER = "user", "User"
    CLUSTER = "cluster", "Cluster"


DEPTH = {kind: depth for depth, kind in enumerate(NodeKind.values)}

_WORDS = {CPU: "CPUs", MEMORY: "GiB of memory", GPU: "GPUs", DISK: "GiB of disk", EXPERIMENTS: "running experiments"}
_UNITS = {CPU: 1000, GPU: 1000, MEMORY: 1 << 30, DISK: 1 << 30}


def in_units(resource: str, amount: int) -> str:
    """Write an amount as people do: 1500 of "cpu" is "1.5"."""
    return f"{amount / _UNITS.get(resource, 1):.3f}".rstrip("0").rstrip(".")


def words(resource: str) -> str:
    return _WORDS.get(resource, resource)
