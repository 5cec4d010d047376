"""What a run table is asked for: the query string of its address, which a saved view keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db.models import Q
from django.utils.http import urlencode

from apps.core.errors import Invalid
from apps.tracking.language.grammar import IllFormed
from apps.tracking.language.runs import RunOrder, read_filter
from apps.tracking.table.columns import GROUPED, Column, read_column

Query = Mapping[str, Sequence[str]]  # a query string, each field with all its values
PAGE_SIZES = (25, 50, 100)
USUAL_SIZE = 50
MOST_COLUMNS = 40
LONGEST_FILTER = 3000
FURTHEST_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class FilterProblem:
    """Why a filter is not understood, and where: what stands before, at and behind the place."""

    sentence: str
    before: str = ""
    wrong: str = ""
    behind: str = ""

    @classmethod
    def of(cls, text: str, refusal: Invalid) -> "FilterProblem":
        if not isinstance(refusal, IllFormed):
            return cls(refusal.detail)
        if refusal.at is None:
            return cls(refusal.sentence, before=text)
        end = refusal.at + max(1, refusal.length)
        return cls(refusal.sentence, text[: refusal.at], text[refusal.at : end], text[end:])


@dataclass(frozen=True, slots=True)
class Asked:
    """`columns` are None for the usual ones. `problems` tells, per field, what was not understood and is left out."""

    filter: str = ""
    condition: Q = field(default_factory=Q)
    columns: Sequence[Column] | None = None
    sort: Column | None = None
    descending: bool = False
    group: Column | None = None
    size: int = USUAL_SIZE
    is_deleted: bool = False
    problems: dict[str, list[str]] = field(default_factory=dict)
    filter_problem: FilterProblem | None = None

    @classmethod
    def read(cls, query: Query, project: UUID) -> "Asked":
        """Read a query string. What is ill is left out and told: an address never fails."""
        problems: dict[str, list[str]] = {}
        text = _last(query, "q").strip()
        condition, filter_problem = _filter(text, project)
        if filter_problem is not None:
            problems["q"] = [filter_problem.sentence]
        sort, descending = _sort(_last(query, "sort"), problems)
        return cls(
            filter=text,
            condition=condition,
            columns=_columns(query.get("col", ()), problems),
            sort=sort,
            descending=descending,
            group=_group(_last(query, "group"), problems),
            size=_size(_last(query, "limit"), problems),
            is_deleted=_last(query, "deleted") == "1",
            problems=problems,
            filter_problem=filter_problem,
        )

    @property
    def order(self) -> RunOrder:
        return RunOrder([] if self.sort is None else [self.sort.order(ascending=not self.descending)])

    @property
    def sort_word(self) -> str:
        return f"{'-' if self.descending else ''}{self.sort.word}" if self.sort else ""

    def query_string(self) -> str:
        """Write it as an address does; what is as usual is left out."""
        pairs = [("q", self.filter), *(("col", column.word) for column in self.columns or ())]
        pairs += [("sort", self.sort_word), ("group", self.group.word if self.group else "")]
        pairs += [
            ("limit", str(self.size) if self.size != USUAL_SIZE else ""),
            ("deleted", "1" if self.is_deleted else ""),
        ]
        return urlencode([(name, value) for name, value in pairs if value])


def page_number(query: Query) -> int:
    """Return the page that is asked for, from 1; the first for what is no number."""
    text = _last(query, "page")
    return min(max(1, int(text)), FURTHEST_PAGE) if text.isascii() and text.isdigit() and len(text) <= 9 else 1  # noqa: PLR2004 -- beyond the furthest


def _last(query: Query, name: str) -> str:
    given = query.get(name)
    return given[-1] if given else ""


def _filter(text: str, project: UUID) -> tuple[Q, FilterProblem | None]:
    try:
        if len(text) > LONGEST_FILTER:
            msg = f"A filter may have {LONGEST_FILTER} characters."
            raise Invalid(msg)  # noqa: TRY301 -- told like every other
        return read_filter(text, [project]), None
    except Invalid as refusal:
        return Q(pk__in=[]), FilterProblem.of(text, refusal)


def _columns(words: Sequence[str], problems: dict[str, list[str]]) -> Sequence[Column] | None:
    found = {word: read_column(word) for word in words[: MOST_COLUMNS + 1] if word}
    if len(found) > MOST_COLUMNS:
        problems["col"] = [f"At most {MOST_COLUMNS} columns are shown."]
    elif unknown := [word for word, column in found.items() if column is None]:
        problems["col"] = [f"There is no column {unknown[0][:60]!r}."]
    columns = [column for column in found.values() if column is not None and column.word != "name"]
    return columns[:MOST_COLUMNS] or None


def _sort(word: str, problems: dict[str, list[str]]) -> tuple[Column | None, bool]:
    if not word:
        return None, False
    column = read_column(word.removeprefix("-"))
    if column is None or not column.can_order:
        problems["sort"] = [f"Runs are not sorted by {word[:60]!r}."]
        return None, False
    return column, word.startswith("-")


def _group(word: str, problems: dict[str, list[str]]) -> Column | None:
    column = read_column(word) if word else None
    if word and (column is None or column.is_measured or (column.is_attribute and column.key not in GROUPED)):
        problems["group"] = [f"Runs are not grouped by {word[:60]!r}."]
        return None
    return column


def _size(text: str, problems: dict[str, list[str]]) -> int:
    size = next((size for size in PAGE_SIZES if str(size) == text), None)
    if text and size is None:
        problems["limit"] = [f"One of {', '.join(map(str, PAGE_SIZES))}."]
    return size or USUAL_SIZE
