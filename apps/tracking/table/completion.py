"""What could be typed next in a filter: names, keys and values of this project's runs, operators. Nothing is told that the
reader may not see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Length
from django.utils import timezone

from apps.tracking.choices import RunStatus
from apps.tracking.language.grammar import ENTITIES, TOKEN, Token
from apps.tracking.language.writing import identifier_of, text_of
from apps.tracking.models import Param, Project, Run, Tag
from apps.tracking.table.columns import is_text
from apps.tracking.table.keys import keys

LONGEST = 3000
_MOST = 20
_EACH = 6
_LONGEST_VALUE = 100
_WORDS = {"metric": "metrics.", "param": "params.", "tag": "tags."}
_TIMES = ("start_time", "end_time")
_ATTRIBUTES = ("status", "run_name", "user_id", *_TIMES, "run_id")
_NUMERIC = ("=", "!=", "<", "<=", ">", ">=")
_NAMED = ("=", "!=", "LIKE", "ILIKE", "IS NULL", "IS NOT NULL")
_LISTED = ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN")
_AGO = {"1 hour ago": 1, "1 day ago": 24, "7 days ago": 168, "30 days ago": 720}


@dataclass(frozen=True, slots=True)
class Option:
    """`text` replaces what was typed; `hint` says what it is."""

    text: str
    hint: str


@dataclass(frozen=True, slots=True)
class Completion:
    """`start` is where the word begins that an option replaces."""

    start: int
    options: Sequence[Option]


@dataclass(slots=True)
class _Place:
    """Where in the grammar the cursor is: what is expected there, and of which identifier."""

    expected: str = "what"
    entity: str = ""
    key: str = ""

    def step(self, token: Token) -> None:
        match self.expected:
            case "what":
                self._identify(token)
            case "operator":
                self._compare(token)
            case "null" if token.says("NULL"):
                self.expected = "and"
            case "list" if token.text == ")":
                self.expected = "and"
            case "value":
                self.expected = "and"
            case "and" if token.says("AND"):
                self.expected = "what"

    def _identify(self, token: Token) -> None:
        first, dot, rest = token.text.partition(".")
        if token.kind == "word" and dot:
            self.entity, self.key = ENTITIES.get(first.lower(), ""), rest
        elif self.entity and not self.key:  # the name behind `params.`
            self.key = token.text[1:-1]
        else:
            self.entity, self.key = "attribute", token.text.strip('`"')
        if self.key:
            self.expected = "operator"

    def _compare(self, token: Token) -> None:
        if token.says("IN"):
            self.expected = "list"
        elif token.says("IS"):
            self.expected = "null"
        elif token.kind == "operator" or token.says("LIKE") or token.says("ILIKE"):
            self.expected = "value"


def complete(text: str, *, project: Project, by: Any) -> Completion:
    """Return what could stand at the end of `text`. The caller has judged that the project may be viewed."""
    if len(text) > LONGEST or not is_text(text):
        return Completion(len(text), [])
    done, typed, start = _split(text)
    place = _Place()
    for token in done:
        if place.expected == "what":
            place.entity, place.key = (place.entity, place.key) if token.kind in {"name", "text"} else ("", "")
        place.step(token)
    found = _options(place, typed, project.pk, by)
    return Completion(start, found[:_MOST])


def _split(text: str) -> tuple[list[Token], str, int]:
    """Return the tokens that are finished, and the word that is being typed with the place where it begins."""
    done: list[Token] = []
    position = 0
    while match := TOKEN.match(text, position):
        done.append(Token(str(match.lastgroup), match[str(match.lastgroup)], match.start(str(match.lastgroup))))
        position = match.end()
    rest = text[position:]
    typed = rest.lstrip()
    start = position + len(rest) - len(typed)
    if done and start == done[-1].at + len(done[-1].text):  # nothing between them: `params.` and a quote that is open
        last = done[-1]
        is_open = last.kind == "word" and (not typed or last.text.endswith("."))
        if is_open or (last.kind == "number" and not typed):
            done.pop()
            return done, last.text + typed, last.at
    return done, typed, start


def _options(place: _Place, typed: str, project: UUID, by: Any) -> list[Option]:
    match place.expected:
        case "what":
            return _identifiers(typed, project, by)
        case "operator":
            operators = _NUMERIC if _is_numeric(place) else _LISTED if place.entity == "attribute" else _NAMED
            return [Option(word, "operator") for word in operators if word.startswith(typed.upper())]
        case "null":
            return [Option(word, "") for word in ("NULL", "NOT NULL") if word.startswith(typed.upper())]
        case "and":
            return [Option("AND", "and also")] if "AND".startswith(typed.upper()) else []
    return _values(place, typed.lstrip("(").strip().lstrip("'\""), project, by)


def _is_numeric(place: _Place) -> bool:
    return place.entity == "metric" or (place.entity == "attribute" and place.key in _TIMES)


def _identifiers(typed: str, project: UUID, by: Any) -> list[Option]:
    first, dot, rest = typed.partition(".")
    entity = ENTITIES.get(first.lower(), "") if dot else ""
    if entity in _WORDS:
        return _keys(entity, rest.strip('`"'), project, by, _MOST)
    text = typed.strip('`"').lower()
    options = [Option(word, f"every {kind}") for kind, word in _WORDS.items() if word.startswith(text)]
    options += [Option(word, "attribute") for word in _ATTRIBUTES if text in word]
    for kind in _WORDS if text else ():
        options += _keys(kind, text, project, by, _EACH)
    return options


def _keys(kind: str, text: str, project: UUID, by: Any, limit: int) -> list[Option]:
    written = (identifier_of(kind, key) for key in keys(kind, project=project, by=by, text=text, limit=limit))
    return [Option(word, kind) for word in written if word is not None]


def _values(place: _Place, text: str, project: UUID, by: Any) -> list[Option]:
    """Return values of params and tags, states and owners; of times some that are often meant."""
    if place.entity == "attribute" and place.key in _TIMES:
        now = timezone.now()
        times = ((ago, now - timedelta(hours=hours)) for ago, hours in _AGO.items())
        return [Option(str(int(time.timestamp()) * 1000), ago) for ago, time in times]
    if place.entity == "attribute" and place.key == "status":
        found = [status.upper() for status in RunStatus.values if text.lower() in status]
    else:
        found = list(_distinct(place, text, project, by))
    written = (text_of(value) for value in found)
    return [Option(word, "value") for word in written if word is not None]


def _distinct(place: _Place, text: str, project: UUID, by: Any) -> Any:
    runs: QuerySet[Run] = Run.objects.visible_to(by, "view").filter(project=project, archived_at=None)
    if place.entity == "attribute" and place.key == "user_id":
        named = runs.filter(owner__username__icontains=text)
        return named.order_by("owner__username").values_list("owner__username", flat=True).distinct()[:_MOST]
    table: Any = {"param": Param, "tag": Tag}.get(place.entity)
    if table is None:
        return []
    rows = table.objects.filter(run__in=runs, project=project, key=place.key, value__icontains=text)
    short = rows.annotate(length=Length("value")).filter(length__lte=_LONGEST_VALUE)
    return short.order_by("value").values_list("value", flat=True).distinct()[:_MOST]
