"""A lineage graph as boxes in columns, for an SVG: sources to the left, what came of them to the right."""

from collections import defaultdict
from dataclasses import dataclass

from apps.lineage.choices import Relation
from apps.lineage.services import Graph, ShownNode

_WIDE, _HIGH = 208, 46
_ACROSS, _DOWN = 292, 62
_MARGIN = 12
_LETTERS = 27


@dataclass(frozen=True, slots=True)
class Box:
    node: ShownNode
    x: int
    y: int

    @property
    def label(self) -> str:
        text = self.node.label
        return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"

    @property
    def hint(self) -> str:
        text = f"{self.node.kind} {self.node.hint}".replace("modelversion", "model version")
        return text if len(text) <= _LETTERS + 3 else f"{text[: _LETTERS + 2]}…"

    @property
    def text_x(self) -> int:
        return self.x + 12

    @property
    def label_y(self) -> int:
        return self.y + 20

    @property
    def hint_y(self) -> int:
        return self.y + 36


@dataclass(frozen=True, slots=True)
class Arrow:
    """A curve from the right side of one box to the left side of another, and the word on it."""

    path: str
    word: str
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Drawing:
    boxes: list[Box]
    arrows: list[Arrow]
    width: int
    height: int
    box_width: int = _WIDE
    box_height: int = _HIGH


def draw(graph: Graph) -> Drawing:
    """Place every node in the column of its depth, in the order in which it was found."""
    columns: dict[int, list[ShownNode]] = defaultdict(list)
    for node in graph.nodes.values():
        columns[node.depth].append(node)
    first, tallest = min(columns), max(len(nodes) for nodes in columns.values())
    boxes: dict[str, Box] = {}
    for depth, nodes in columns.items():
        top = _MARGIN + (tallest - len(nodes)) * _DOWN // 2
        for row, node in enumerate(nodes):
            boxes[node.key] = Box(node, _MARGIN + (depth - first) * _ACROSS, top + row * _DOWN)
    arrows = [
        _arrow(boxes[edge.source], boxes[edge.target], Relation(edge.relation).label)
        for edge in graph.edges
        if edge.source in boxes and edge.target in boxes
    ]
    width = 2 * _MARGIN + (max(columns) - first) * _ACROSS + _WIDE
    return Drawing(list(boxes.values()), arrows, width, 2 * _MARGIN + tallest * _DOWN - (_DOWN - _HIGH))


def _arrow(source: Box, target: Box, word: str) -> Arrow:
    x1, y1 = source.x + _WIDE, source.y + _HIGH // 2
    x2, y2 = target.x, target.y + _HIGH // 2
    middle = (x1 + x2) // 2
    return Arrow(f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}", word, middle, (y1 + y2) // 2 - 5)
