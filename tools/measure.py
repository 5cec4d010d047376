"""Length of files and functions, docstrings, annotations: what the size budgets are checked against.

Usage: python -m tools.measure apps config sdk/src
"""

import ast
import re
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = re.compile(r"(^|/)(tests?|migrations|vendor|[^/]*\.egg-info)(/|$)|(^|/)(test_[^/]*|conftest)\.py$")


@dataclass(frozen=True, slots=True)
class Measured:
    """One file, or one function of a file: `where` names it, `lines` is its length."""

    where: str
    lines: int
    is_documented: bool = False
    is_annotated: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and upper percentiles of a list of lengths."""

    count: int
    median: float
    p90: int
    p99: int
    longest: Measured

    @classmethod
    def of(cls, found: Sequence[Measured]) -> "Spread":
        lengths = sorted(one.lines for one in found)
        longest = max(found, key=lambda one: one.lines)
        return cls(len(found), statistics.median(lengths), _at(lengths, 0.9), _at(lengths, 0.99), longest)


def measure(roots: Iterable[str]) -> tuple[list[Measured], list[Measured]]:
    """Return the non-empty files below `roots` and the functions in them; tests and migrations are not counted."""
    files: list[Measured] = []
    functions: list[Measured] = []
    for path in sorted(file for root in roots for file in Path(root).rglob("*.py")):
        if _SKIPPED.search(path.as_posix()):
            continue
        text = path.read_text()
        if text:
            files.append(Measured(path.as_posix(), text.count("\n")))
            functions.extend(_functions(path, ast.parse(text)))
    return files, functions


def _functions(path: Path, tree: ast.Module) -> Iterable[Measured]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            is_documented = ast.get_docstring(node) is not None
            yield Measured(f"{path}:{node.name}", length, is_documented, node.returns is not None)


def _at(ordered: Sequence[int], share: float) -> int:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def main(roots: Sequence[str]) -> None:
    """Print the table."""
    files, functions = measure(roots)
    for name, found in (("file", files), ("function", functions)):
        spread = Spread.of(found)
        numbers = f"n={spread.count} median={spread.median:.0f} p90={spread.p90} p99={spread.p99}"
        print(f"{name:9} {numbers} longest={spread.longest.lines} {spread.longest.where}")
    documented = sum(one.is_documented for one in functions) / len(functions)
    annotated = sum(one.is_annotated for one in functions) / len(functions)
    print(f"docstring={documented:.0%} annotated={annotated:.0%}")


if __name__ == "__main__":
    main(sys.argv[1:] or ["apps", "config"])
