"""Names, units and words of what is limited.

A resource is a name; what stands before a colon is its family, which gives the unit: "gpu:a100" is counted in
thousandths like "gpu". Any other name is a count.
"""

from dataclasses import dataclass

from django.conf import settings
from django.db.models import TextChoices

CPU, MEMORY, GPU, DISK, EXPERIMENTS = "cpu", "memory", "gpu", "disk", "experiments"
ARTIFACTS = "artifacts"
KEPT = frozenset({ARTIFACTS})  # what is stored: no work can ask for it
MONEY = "money"  # "money:month" is what a budget gives each month: no limit of this app, but asked for like one


class NodeKind(TextChoices):
    PLATFORM = "platform", "Platform"
    ORGANIZATION = "organization", "Organization"
    TEAM = "team", "Team"
    USER = "user", "User"
    CLUSTER = "cluster", "Cluster"
    GROUP = "group", "Group"  # what an admin puts between others: a department, a grant


# What others may hang below.
HOLDERS = frozenset({NodeKind.PLATFORM, NodeKind.ORGANIZATION, NodeKind.GROUP, NodeKind.TEAM})


class RequestState(TextChoices):
    OPEN = "open", "Open"
    APPROVED = "approved", "Approved"
    REFUSED = "refused", "Refused"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"


_WORDS = {
    CPU: "CPUs", MEMORY: "GiB of memory", GPU: "GPUs", DISK: "GiB of disk", EXPERIMENTS: "running experiments",
    ARTIFACTS: "GiB of artifact storage",
}  # fmt: skip
_UNITS = {CPU: 1000, GPU: 1000, MEMORY: 1 << 30, DISK: 1 << 30, ARTIFACTS: 1 << 30, MONEY: 1_000_000}
_DIGITS = {MONEY: 6}
_TIMES = {"month": "each month", "quarter": "each quarter", "year": "each year", "fixed": "between two dates"}


def family(resource: str) -> str:
    return resource.partition(":")[0]


def unit_of(resource: str) -> int:
    """Return how many base units people call one: 1000 of "cpu", 2^30 of "memory"."""
    return _UNITS.get(family(resource), 1)


def in_units(resource: str, amount: int) -> str:
    """Write an amount as people do: 1500 of "cpu" is "1.5"."""
    return f"{amount / unit_of(resource):.{_DIGITS.get(family(resource), 3)}f}".rstrip("0").rstrip(".")


def words(resource: str) -> str:
    """Name a resource in a sentence: "GPUs", "a100 GPUs", "GiB of ssd disk"."""
    base, _, model = resource.partition(":")
    if base == MONEY:
        return f"{settings.CURRENCY} of its budget {_TIMES.get(model, model)}".strip()
    known = _WORDS.get(base)
    if known is None:
        return resource
    if not model:
        return known
    head, of, what = known.partition(" of ")
    return f"{head} of {model} {what}" if of else f"{model} {known}"


@dataclass(frozen=True, slots=True)
class Known:
    """A resource that can be limited. `weight`: what one unit counts in fair share, in hundredths of a CPU."""

    name: str
    title: str
    position: int = 100
    weight: int = 0


# What work asks for by itself. Rows of `Resource` add others, or say something else of these.
BUILT_IN = (
    Known(CPU, "CPUs", 10, 100),
    Known(MEMORY, "Memory", 20, 25),
    Known(GPU, "GPUs", 30, 1000),
    Known(DISK, "Disk", 40),
    Known(EXPERIMENTS, "Experiments", 50),
    Known("notebooks", "Notebook sessions", 60),
    Known("endpoints", "Endpoints", 70),
    Known(ARTIFACTS, "Artifact storage", 80),
)
