"""A log-batch: its limits and its meaning. Checked by columns, never by rows: a thousand metrics cost four lists.

A batch is a JSON object with any of
- `batch_id`: a UUID; the same id twice for one run adds nothing;
- `metrics`: rows `[{"key", "value", "step"?, "time"?}]`, or columns of the same names, `{"key": [], "value": [], …}`;
- `params`, `tags`: name to text, number or boolean; the last value written wins.

A value is a number, or one of the texts "NaN", "Infinity", "-Infinity". Without a step a point gets the step after the
highest that its metric has so far (0 at first). A time is RFC 3339 or whole milliseconds since the epoch; without one
it is the server's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from uuid import UUID

import orjson

from apps.core.errors import DomainError, Invalid, TooLarge

LARGEST_BODY = 4 << 20
TOO_LARGE = f"A batch may have {LARGEST_BODY} bytes. Send several."
MOST_METRICS = 10_000
MOST_NAMES = 500
LONGEST_KEY = 250
LONGEST_PARAM = 32_000  # bytes of UTF-8: 8,000 characters, whichever they are
LONGEST_TAG = 32_000

_NON_FINITE = frozenset({"NaN", "Infinity", "-Infinity"})
_FIELDS = ("key", "value", "step", "time")
_STEPS = range(-(1 << 63), 1 << 63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS = range(-62_135_596_800_000, 253_402_300_800_000)  # the years 1 to 9999
_MICROSECONDS = range(_MILLISECONDS.start * 1000, _MILLISECONDS.stop * 1000)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)

Problems = dict[str, list[str]]


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


@dataclass(frozen=True, slots=True)
class Batch:
    """A valid batch. `keys` are distinct and sorted; `index` says, per point, which (from 1); `times` are microseconds.

    `values` is written as a PostgreSQL array already: numbers pass from the request to the database as they came.
    With `keeps_params` a param that has another value already is refused, and with it the batch.
    """

    id: UUID | None
    keys: Sequence[str]
    index: Sequence[int]
    values: str
    steps: Sequence[int | None]
    times: Sequence[int | None]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    keeps_params: bool = False

    @property
    def size(self) -> int:
        return len(self.index)


def read(body: bytes, *, content_type: str) -> Batch:
    """Read a request body. Raises: UnsupportedMediaType, TooLarge, Invalid with a sentence per field."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        msg = "A batch is sent as application/json."
        raise UnsupportedMediaType(msg)
    if len(body) > LARGEST_BODY:
        raise TooLarge(TOO_LARGE)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        msg = f"Not valid JSON: {error}"
        raise Invalid(msg) from error
    return check(document)


def check(document: Any) -> Batch:
    """Check a batch that was read from JSON or made by Python. Raises: Invalid with a sentence per field."""
    if not isinstance(document, Mapping):
        msg = "A batch is a JSON object."
        raise Invalid(msg)
    problems: Problems = {
        str(name)[:100]: ["There is no such field."]
        for name in document
        if name not in {"batch_id", "metrics", "params", "tags"}
    }
    columns = _columns(document.get("metrics", []), problems)
    keys = sorted(set(columns["key"])) if not problems else []
    position = {key: number for number, key in enumerate(keys, start=1)}
    batch = Batch(
        id=_batch_id(document.get("batch_id"), problems),
        keys=keys,
        index=[position[key] for key in columns["key"]] if keys else [],
        values=_values(columns["value"], problems),
        steps=columns["step"],
        times=_times(columns["time"], problems),
        params=_names(document.get("params", {}), "params", LONGEST_PARAM, problems),
        tags=_names(document.get("tags", {}), "tags", LONGEST_TAG, problems),
    )
    if problems:
        raise Invalid(errors=problems)
    return batch


def array(column: Sequence[Any]) -> str:
    """Write numbers, nulls and the names of non-finite numbers as a PostgreSQL array."""
    return "{" + orjson.dumps(column).decode()[1:-1] + "}"


def _batch_id(value: Any, problems: Problems) -> UUID | None:
    if value is None or isinstance(value, UUID):
        return value
    try:
        return UUID(value)
    except (ValueError, AttributeError, TypeError):
        problems["batch_id"] = ["Expected a UUID."]
        return None


def _columns(metrics: Any, problems: Problems) -> dict[str, list[Any]]:
    """Return the four columns, of equal length; empty ones where something is wrong."""
    found = len(problems)
    if isinstance(metrics, Mapping):
        columns = _given_columns(metrics, problems)
    elif isinstance(metrics, list):
        columns = _columns_of_rows(metrics, problems)
    else:
        columns = {}
        problems["metrics"] = ["Expected a list of points, or an object of columns."]
    size = len(columns.get("key", ()))
    if size > MOST_METRICS:
        problems["metrics"] = [f"A batch may have {MOST_METRICS} points. Send several."]
    if len(problems) == found:
        _check_keys(columns.get("key", []), problems)
        _check_kinds("value", columns.get("value", []), {float, int, str}, "Expected a number.", problems)
        steps = columns.get("step", [])
        _check_kinds("step", steps, {int, type(None)}, "Expected a whole number.", problems)
        _check_range("step", steps, _STEPS, "Out of range.", problems)
    if len(problems) > found:
        return {field: [] for field in _FIELDS}
    return {field: columns.get(field) or [None] * size for field in _FIELDS}


def _given_columns(metrics: Mapping[Any, Any], problems: Problems) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for field, column in metrics.items():
        if field not in _FIELDS:
            problems[f"metrics.{str(field)[:100]}"] = ["There is no such column."]
        elif not isinstance(column, (list, tuple)):
            problems[f"metrics.{field}"] = ["Expected a list."]
        else:
            columns[field] = list(column)
    size = max((len(column) for column in columns.values()), default=0)
    for field in _FIELDS:
        optional = field in {"step", "time"} and field not in columns
        if not optional and len(columns.get(field, ())) != size and f"metrics.{field}" not in problems:
            problems[f"metrics.{field}"] = [f"Expected {size} entries, as many as the longest column has."]
    return columns


def _columns_of_rows(rows: list[Any], problems: Problems) -> dict[str, list[Any]]:
    if set(map(type, rows)) - {dict}:
        wrong = next(number for number, row in enumerate(rows) if type(row) is not dict)
        problems[f"metrics[{wrong}]"] = ["Expected an object."]
        return {}
    fields = set().union(*rows)
    if unknown := fields.difference(_FIELDS):
        wrong = next(number for number, row in enumerate(rows) if not unknown.isdisjoint(row))
        problems[f"metrics[{wrong}]"] = [f"Unknown: {', '.join(sorted(map(str, unknown)))[:100]}."]
        return {}
    return {
        field: [row.get(field) for row in rows] for field in _FIELDS if field in fields or field in {"key", "value"}
    }


def _check_keys(keys: list[Any], problems: Problems) -> None:
    _check_kinds("key", keys, {str}, "Expected text.", problems)
    if any(name.endswith("].key") for name in problems):
        return
    if sentence := key_problem(set(keys)):
        wrong = next(number for number, key in enumerate(keys) if key_problem({key}))
        problems[f"metrics[{wrong}].key"] = [sentence]


def key_problem(keys: set[str]) -> str:
    """Return what is wrong with some of these names, "" if nothing."""
    if "" in keys:
        return "May not be empty."
    if max(map(len, keys), default=0) > LONGEST_KEY:
        return f"Longer than {LONGEST_KEY} characters."
    return _text_problem("".join(keys))


def _text_problem(text: str) -> str:
    if "\x00" in text:
        return "NUL characters are not accepted."
    try:
        text.encode()
    except UnicodeEncodeError:
        return "Not valid text."
    return ""


def _check_kinds(field: str, column: list[Any], kinds: set[type], sentence: str, problems: Problems) -> None:
    """Find the first entry of a wrong type; the usual case looks at each entry's type only."""
    if wrong := set(map(type, column)) - kinds:
        number = next(number for number, entry in enumerate(column) if type(entry) in wrong)
        is_missing = column[number] is None
        problems[f"metrics[{number}].{field}"] = ["This field is required." if is_missing else sentence]


def _check_each(
    field: str, column: list[Any], is_right: Callable[[Any], bool], sentence: str, problems: Problems
) -> None:
    if any(name.endswith(f"].{field}") for name in problems):
        return
    wrong = next((number for number, entry in enumerate(column) if not is_right(entry)), None)
    if wrong is not None:
        problems[f"metrics[{wrong}].{field}"] = [sentence]


def _check_range(field: str, column: list[Any], limits: range, sentence: str, problems: Problems) -> None:
    if any(name.endswith(f"].{field}") for name in problems):
        return
    given = [number for number in column if number is not None]
    if given and not (min(given) in limits and max(given) in limits):
        _check_each(field, column, lambda number: number is None or number in limits, sentence, problems)


def _values(column: list[Any], problems: Problems) -> str:
    if str in set(map(type, column)):
        sentence = "Expected a number, or one of NaN, Infinity, -Infinity as text."
        _check_each("value", column, lambda v: not isinstance(v, str) or v in _NON_FINITE, sentence, problems)
    if problems:
        return "{}"
    try:
        text = array(column)
        # What only Python can bring here: non-finite floats, and whole numbers beyond 64 bits.
        return array([_wire(value) for value in column]) if "null" in text else text
    except TypeError:
        _check_each(
            "value", column, lambda v: isinstance(v, (float, str)) or abs(v) < 2**1023, "Out of range.", problems
        )
        return "{}" if problems else array([_wire(value) for value in column])


def _wire(value: float | str) -> float | str:
    """JSON has no non-finite numbers; they travel by name."""
    number = float(value)
    return number if isfinite(number) else {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[repr(number)]


def _times(column: list[Any], problems: Problems) -> list[int | None]:
    kinds = set(map(type, column))
    if kinds <= {type(None)}:
        return column
    sentence = "Expected RFC 3339, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970."
    _check_kinds("time", column, {int, str, datetime, type(None)}, sentence, problems)
    if kinds <= {int, type(None)}:
        _check_range("time", column, _MILLISECONDS, "Out of range.", problems)
        return [None if time is None else time * 1000 for time in column]
    times = [time * 1000 if type(time) is int else _microseconds(time) for time in column]
    pairs = list(zip(column, times, strict=True))
    _check_each("time", pairs, lambda pair: pair[1] is not None or pair[0] is None, sentence, problems)
    _check_range("time", times, _MICROSECONDS, "Out of range.", problems)
    return times


def _microseconds(time: Any) -> int | None:
    try:
        if isinstance(time, str):
            time = datetime.fromisoformat(time.upper()) if _RFC_3339.fullmatch(time) else None
        return (time - _EPOCH) // timedelta(microseconds=1) if isinstance(time, datetime) else None
    except (ValueError, TypeError, OverflowError):  # no such day; a datetime without a zone
        return None


def _names(given: Any, field: str, longest: int, problems: Problems) -> dict[str, str]:
    """Return params or tags as text, sorted: everybody locks in the same order."""
    if not isinstance(given, Mapping):
        problems[field] = ["Expected an object of names and values."]
        return {}
    if len(given) > MOST_NAMES:
        problems[field] = [f"At most {MOST_NAMES} in one batch."]
        return {}
    texts = {}
    for name, value in given.items():
        text = value if isinstance(value, str) else _scalar(value)
        sentence = _name_problem(name, text, longest)
        if sentence:
            problems[f"{field}.{str(name)[:LONGEST_KEY]}"] = [sentence]
        else:
            texts[name] = text or ""
    return dict(sorted(texts.items()))


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(_wire(value))
    return str(value) if isinstance(value, int) else None


def _name_problem(name: Any, text: str | None, longest: int) -> str:
    if not isinstance(name, str):
        return "A name is text."
    if text is None:
        return "Expected text, a number or a boolean."
    problem = key_problem({name}) or _text_problem(text)
    return problem or (f"Longer than {longest} bytes." if len(text.encode()) > longest else "")
