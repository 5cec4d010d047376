"""The source text of the platform, parsed once, for the rules that read it."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Module:
    """One Python file: its path from the root, its dotted name and its syntax tree."""

    path: str
    tree: ast.Module

    @property
    def name(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def app(self) -> str:
        """The app it belongs to, "" for what is none's."""
        parts = self.path.split("/")
        return parts[1] if parts[0] == "apps" and len(parts) > 2 else ""

    @property
    def part(self) -> str:
        """The file or package within the app: "services" for apps/teams/services.py and apps/teams/services/x.py."""
        parts = self.path.split("/")
        return parts[2].removesuffix(".py") if self.app else ""


def parsed(path: str, text: str) -> Module:
    return Module(path, ast.parse(text))


@cache
def modules(*roots: str) -> tuple[Module, ...]:
    """Every module below `roots` except migrations."""
    found = sorted(path for root in roots for path in (ROOT / root).rglob("*.py") if "migrations" not in path.parts)
    return tuple(parsed(path.relative_to(ROOT).as_posix(), path.read_text()) for path in found)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything imported, wherever in the file: `a.b.c` for `from a.b import c`."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
