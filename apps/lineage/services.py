"""Lineage: edges are written by the services that make their target; the walk goes both ways and judges each node.

SECURITY: upward, a node one may not see is told as "something you may not see": that what one sees was made from something
is part of what one sees. Downward it is left out, without a count: what others do with a thing is theirs to tell. The walk
goes through neither.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Model, QuerySet

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import Invalid, NotFound
from apps.lineage import registry
from apps.lineage.choices import Direction, Relation, ThingKind
from apps.lineage.models import LineageEdge, LineageThing
from apps.lineage.registry import Described

MOST_DEPTH = 10
MOST_NODES = 300
_NAMESPACE = UUID("5f3b1f0e-7a3c-4f5e-9d2a-6c1f0b7e2d41")
_LONGEST_NAME = 500
_LONGEST_DIGEST = 200


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` and id of a row: "run", "modelversion", "dataset", "code", "environment"."""

    kind: str
    id: UUID


@dataclass(frozen=True, slots=True)
class ShownNode:
    """A node as the reader may see it. `depth` is negative upward; a hidden one has no kind, name or page."""

    key: str
    depth: int
    kind: str = ""
    id: UUID | None = None
    label: str = "Something you may not see"
    hint: str = ""
    url: str = ""

    @property
    def is_hidden(self) -> bool:
        return self.id is None


@dataclass(frozen=True, slots=True)
class ShownEdge:
    source: str
    target: str
    relation: str


@dataclass(slots=True)
class Graph:
    """What a walk found. `is_cut`: there was more than is shown, or deeper than was asked."""

    nodes: dict[str, ShownNode] = field(default_factory=dict)
    edges: list[ShownEdge] = field(default_factory=list)
    is_cut: bool = False


def thing(kind: ThingKind, name: str, digest: str = "") -> Node:
    """Return the node of that name and digest, which comes into being when it is first meant."""
    if not name or len(name) > _LONGEST_NAME or len(digest) > _LONGEST_DIGEST or "\x00" in name + digest:
        raise Invalid(errors={kind.value: [f"A name of 1 to {_LONGEST_NAME} characters, and a digest of up to 200."]})
    key = uuid.uuid5(_NAMESPACE, f"{kind.value}\x00{name}\x00{digest}")
    with connection.cursor() as cursor:
        cursor.execute(_THING, [key, kind.value, name, digest])
    return Node(kind.value, key)


def link(target: Node, sources: Iterable[tuple[Node, Relation]]) -> None:
    """Write what `target` came from, in the caller's transaction, which makes it. Idempotent."""
    rows = [(source.kind, source.id, target.kind, target.id, relation.value) for source, relation in sources]
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_EDGES.format(", ".join(["(%s, %s, %s, %s, %s)"] * len(rows))), [v for r in rows for v in r])


def find(kind: str, pk: UUID, *, by: Any) -> ShownNode:
    """Return the node where a walk begins. Raises: NotFound, the same for what is hidden and what never was."""
    node = Node(kind, pk)
    is_thing = kind in ThingKind.values
    found = None if is_thing and not _has_visible_neighbour(pk, by) else _visible([node], by).get(node)
    if found is None:
        raise refused(by, "view", f"lineage.{kind[:20]}", NotFound(), object_id=str(pk))
    return _shown(node, found, 0)


def walk(start: ShownNode, *, by: Any, direction: str = Direction.BOTH, depth: int = 3) -> Graph:
    """Walk from a node that `find` returned, at most `depth` steps each way. Raises: Invalid for another direction."""
    if direction not in Direction.values:
        raise Invalid(errors={"direction": [f"One of {', '.join(Direction.values)}."]})
    if not 1 <= depth <= MOST_DEPTH:
        raise Invalid(errors={"depth": [f"Between 1 and {MOST_DEPTH}."]})
    graph = Graph({start.key: start})
    for step, wanted in ((-1, Direction.UP), (1, Direction.DOWN)):
        if direction in {wanted, Direction.BOTH}:
            _Walk(graph, by, step).go(start, depth)
    return graph


class _Walk:
    """One direction: level by level, two kinds of questions for each, however many nodes there are."""

    def __init__(self, graph: Graph, by: Any, step: int) -> None:
        self.graph, self.by, self.step = graph, by, step

    def go(self, start: ShownNode, depth: int) -> None:
        frontier = {start.id}
        for level in range(1, depth + 1):
            frontier = self._level(frontier, level * self.step)
            if not frontier:
                return
        self.graph.is_cut = self.graph.is_cut or self._rows(frontier).exists()

    def _rows(self, ids: Iterable[UUID | None]) -> QuerySet[LineageEdge]:
        near = "target_id__in" if self.step < 0 else "source_id__in"
        return LineageEdge.objects.filter(**{near: list(ids)}).order_by("id")

    def _level(self, frontier: Iterable[UUID | None], depth: int) -> set[UUID | None]:
        room = MOST_NODES - len(self.graph.nodes)
        edges = list(self._rows(frontier)[: 4 * MOST_NODES + 1])
        seen = _visible({self._far(edge) for edge in edges}, self.by)
        fresh: set[UUID | None] = set()
        for edge in edges:
            far = self._far(edge)
            key = self._key(far, seen.get(far), edge)
            if key is None:
                continue
            if key not in self.graph.nodes:
                if len(fresh) >= room:
                    self.graph.is_cut = True
                    continue
                found = seen.get(far)
                self.graph.nodes[key] = ShownNode(key, depth) if found is None else _shown(far, found, depth)
                if found is not None:
                    fresh.add(far.id)
            self._connect(edge, key)
        return fresh

    def _key(self, far: Node, found: Described | None, edge: LineageEdge) -> str | None:
        if found is not None:
            return str(far.id)
        # SECURITY: the key of what is hidden is made of the edge, so that two of them cannot be told to be the same.
        return f"hidden-{edge.pk}" if self.step < 0 else None

    def _connect(self, edge: LineageEdge, far: str) -> None:
        near = str(edge.target_id if self.step < 0 else edge.source_id)
        pair = (far, near) if self.step < 0 else (near, far)
        shown = ShownEdge(*pair, Relation(edge.relation).value)
        if shown not in self.graph.edges:
            self.graph.edges.append(shown)

    def _far(self, edge: LineageEdge) -> Node:
        if self.step < 0:
            return Node(edge.source_kind, edge.source_id)
        return Node(edge.target_kind, edge.target_id)


def _visible(nodes: Iterable[Node], by: Any) -> Mapping[Node, Described]:
    """Return those of `nodes` the person may see, described: a question for each kind. Things are seen beside others."""
    found: dict[Node, Described] = {}
    wanted = list(nodes)
    for name, kind in registry.owned_kinds().items():
        ids = [node.id for node in wanted if node.kind == name]
        if ids:
            found |= {Node(name, row.pk): kind.describe(row) for row in _rows_of(kind.model, ids, by, kind.related)}
    return found | _things([node.id for node in wanted if node.kind in ThingKind.values])


def _rows_of(model: type[Model], ids: Iterable[UUID], by: Any, related: tuple[str, ...]) -> Iterator[Any]:
    return iter(policy.visible(_live(model).filter(pk__in=list(ids)).select_related(*related), by, "view"))


def _things(ids: Iterable[UUID]) -> dict[Node, Described]:
    wanted = list(ids)
    rows = LineageThing.objects.filter(pk__in=wanted) if wanted else LineageThing.objects.none()
    return {Node(row.kind, row.pk): Described(row.name, row.digest) for row in rows}


def _has_visible_neighbour(pk: UUID, by: Any) -> bool:
    """SECURITY: a thing is nobody's; who sees nothing that it is part of must not learn that it exists."""
    return any(
        policy.visible(_live(kind.model).filter(pk__in=_made_from(pk, name)), by, "view").exists()
        for name, kind in registry.owned_kinds().items()
    )


def _made_from(pk: UUID, kind: str) -> QuerySet[Any]:
    return LineageEdge.objects.filter(source_id=pk, target_kind=kind).values("target_id")


def _live(model: type[Model]) -> Any:
    rows: Any = model._default_manager.all()  # noqa: SLF001 -- generic code
    return rows.live() if hasattr(rows, "live") else rows


def _shown(node: Node, found: Described, depth: int) -> ShownNode:
    return ShownNode(str(node.id), depth, node.kind, node.id, found.label, found.hint, found.url)


_THING = """
    INSERT INTO lineage_lineagething (id, kind, name, digest) VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
"""
_EDGES = """
    INSERT INTO lineage_lineageedge (source_kind, source_id, target_kind, target_id, relation)
    VALUES {} ON CONFLICT (target_id, source_id, relation) DO NOTHING
"""
