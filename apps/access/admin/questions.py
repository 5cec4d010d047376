"""Questions that operators ask of a list: one definition is the filter beside the list and the number on the front page.

An app declares its questions with its admin page; a number can therefore not differ from the rows behind its link.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from typing_extensions import override

from apps.access.admin.counting import count_of, said
from apps.access.admin.display import list_url

Rows = QuerySet[Any]
PARAMETER = "question"


@dataclass(frozen=True, slots=True)
class Question:
    """`narrow(rows)` keeps the rows that answer it. `tile` are its words on the front page, "" for a filter only.

    `tone` colours a number that is not zero: "bad", "busy" or "".
    """

    key: str
    words: str
    narrow: Callable[[Any], Any]
    tile: str = ""
    tone: str = ""
    place: int = 50  # among the numbers of the same tone, the lowest first


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its answer: how many (never more than one above `counting.MOST`), and where they are listed."""

    count: int
    words: str
    url: str
    tone: str

    @property
    def said(self) -> str:
        return said(self.count)


@dataclass(frozen=True, slots=True)
class _Tile:
    model: type[Model]
    question: Question
    parameter: str
    is_record: bool


_tiles: list[_Tile] = []


def question_filter(
    model: type[Model], questions: Iterable[Question], *, is_record: bool = False, parameter: str = PARAMETER
) -> type[admin.SimpleListFilter]:
    """Make the filter that offers `questions`, and put those that have a `tile` on the front page.

    `is_record` is for tables without a policy, which operators read whole.
    """
    known = {question.key: question for question in questions}
    _tiles.extend(_Tile(model, question, parameter, is_record) for question in known.values() if question.tile)
    named = parameter

    class QuestionFilter(admin.SimpleListFilter):
        title = "question"
        parameter_name = named

        @override
        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(question.key, question.words) for question in known.values()]

        @override
        def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
            question = known.get(self.value() or "")
            return queryset if question is None else question.narrow(queryset)

    return QuestionFilter


def answers(by: Any) -> list[Asked]:
    """Count every question of the front page, of what `by` may see; what is bad comes first."""
    ordered = sorted(_tiles, key=lambda tile: (_TONES.index(tile.question.tone), tile.question.place))
    return [_answer(tile, by) for tile in ordered]


_TONES = ("bad", "busy", "")


def _answer(tile: _Tile, by: Any) -> Asked:
    model: Any = tile.model
    if tile.is_record:
        rows = model._default_manager.all() if getattr(by, "is_staff", False) else model._default_manager.none()  # noqa: SLF001 -- generic code
    else:
        rows = model._default_manager.visible_to(by, "view")  # noqa: SLF001 -- as above
    question = tile.question
    url = list_url(model._meta.label_lower, **{tile.parameter: question.key})  # noqa: SLF001 -- documented Django API
    return Asked(count_of(question.narrow(rows)), question.tile, url, question.tone)
