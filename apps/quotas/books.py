"""What is held against what limits, as numbers in memory: the one place that decides what fits.

Pure arithmetic, over rows that admission has locked, or over a look at them for a forecast, a what-if or a simulation.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from apps.quotas.choices import NodeKind, in_units, words

Amounts = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Full:
    """Why a reservation has to wait: the first limit, from the top, that it would exceed.

    SECURITY: what is used of a limit that tenants share is told to operators only; the limit itself is no secret.
    """

    node_id: int
    node: str
    resource: str
    used: int
    limit: int
    need: int
    is_shared: bool = False

    @property
    def missing(self) -> int:
        """How much would have to be given back."""
        return self.used + self.need - self.limit

    @property
    def message(self) -> str:
        limit = f"{in_units(self.resource, self.limit)} {words(self.resource)}"
        used = f"uses {in_units(self.resource, self.used)} of"
        have = f"{self.node} has too little free of its" if self.is_shared else f"{self.node} {used}"
        return f"waiting: {have} {limit}, and this needs {in_units(self.resource, self.need)}"

    @property
    def message_behind(self) -> str:
        """What those are told who wait for the same, further back. Changes with the limit only."""
        most = f"{in_units(self.resource, self.limit)} {words(self.resource)}"
        return f"waiting behind earlier work: {self.node} may use {most}, and what comes first does not fit yet"


@dataclass(slots=True)
class Line:
    """One limit row: what the subtree of a node may hold of a resource, and holds."""

    pk: int
    node_id: int
    resource: str
    limit: int | None
    borrow: int
    used: int
    depth: int
    kind: str
    name: str

    @property
    def most(self) -> int | None:
        return None if self.limit is None else self.limit + self.borrow

    @property
    def free(self) -> int | None:
        """How much more it takes; None for any amount. Below zero when the limit was lowered."""
        return None if self.limit is None else self.limit + self.borrow - self.used

    @property
    def borrowed(self) -> int:
        """How much is held beyond the limit of its own."""
        return 0 if self.limit is None else max(0, self.used - self.limit)

    @property
    def rank(self) -> tuple[bool, int, int, str]:
        """The order in which limits are told: from the top, the cluster last."""
        return (self.kind == NodeKind.CLUSTER, self.depth, self.node_id, self.resource)

    def full(self, need: int) -> Full:
        label = "the platform" if self.kind == NodeKind.PLATFORM else f"{self.kind} {self.name}"
        shared = self.kind in {NodeKind.PLATFORM, NodeKind.CLUSTER}
        return Full(self.node_id, label, self.resource, self.used, self.most or 0, need, shared)


@dataclass(slots=True)
class Share:
    """What a node has used lately, in hundredths of CPU seconds, and its weight among its siblings."""

    used: float
    weight: int

    @property
    def score(self) -> float:
        """The less, the earlier its turn."""
        return self.used / self.weight


@dataclass
class Books:
    """The limits of some nodes. `take` and `give` change what is used here, and nowhere else."""

    lines: dict[tuple[int, str], Line] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Iterable[Line]) -> "Books":
        return cls({(line.node_id, line.resource): line for line in lines})

    def copy(self) -> "Books":
        return Books({pair: replace(line) for pair, line in self.lines.items()})

    def over(self, node_ids: Iterable[int], need: Amounts) -> list[Line]:
        """List the limits that `need` would exceed at `node_ids`, from the top. Empty: it fits."""
        found = [
            line
            for node_id in node_ids
            for resource, amount in need.items()
            if (line := self.lines.get((node_id, resource))) is not None
            and (most := line.most) is not None
            and line.used + amount > most
        ]
        return sorted(found, key=lambda line: line.rank)

    def full(self, node_ids: Iterable[int], need: Amounts) -> Full | None:
        over = self.over(node_ids, need)
        return over[0].full(need[over[0].resource]) if over else None

    def take(self, node_ids: Iterable[int], need: Amounts) -> None:
        for node_id in node_ids:
            for resource, amount in need.items():
                if (line := self.lines.get((node_id, resource))) is not None:
                    line.used += amount

    def give(self, node_ids: Iterable[int], held: Amounts) -> None:
        self.take(node_ids, {resource: -amount for resource, amount in held.items()})

    def at_most(self, node_ids: Iterable[int], resource: str) -> int | None:
        """Return how much of `resource` fits at all of `node_ids` now; None for any amount."""
        lines = [line for node_id in node_ids if (line := self.lines.get((node_id, resource))) is not None]
        return min((free for line in lines if (free := line.free) is not None), default=None)
