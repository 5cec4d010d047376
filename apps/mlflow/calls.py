"""One call of MLflow's wire: who calls, and what he gives, read strictly. MLflow's own server reads it as protobuf's
JSON does, so a whole number may also come as text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from apps.core.errors import Invalid, NotFound, TooLarge
from apps.core.texts import LONGEST_TEXT, checked, wrong

LARGEST_BODY = 4 << 20
_WHOLE = re.compile(r"-?\d{1,19}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(frozen=True, slots=True)
class Call:
    """`given` holds the fields of the body or of the query, and those of the path; a repeated one of a query is a list."""

    user: Any
    given: Mapping[str, Any]

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str:
        """Return a text, "" where it is missing. Raises: Invalid."""
        value = self.given.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(name, "Expected text.")
        return checked(name, value, longest)

    def needed(self, name: str, *, longest: int = LONGEST_TEXT) -> str:
        """Return a text that must be there. Raises: Invalid."""
        value = self.text(name, longest=longest)
        if not value:
            raise missing(name)
        return value

    def whole(
        self, name: str, default: int | None = None, *, low: int = _INT64.start, high: int = _INT64.stop - 1
    ) -> Any:
        """Return a whole number within limits, `default` where it is missing. Raises: Invalid."""
        value = self.given.get(name)
        if value is None or value == "":
            return default
        number = whole(name, value)
        if not low <= number <= high:
            raise wrong(name, f"Must be between {low} and {high}.")
        return number

    def time(self, name: str) -> datetime | None:
        """Return a time given in milliseconds since 1970, None where it is missing. Raises: Invalid."""
        value = self.whole(name)
        return None if value is None else moment(name, value)

    def texts(self, name: str) -> list[str]:
        """Return a list of texts; a single text is a list of one. Raises: Invalid."""
        value = self.given.get(name)
        if value is None:
            return []
        values = [value] if isinstance(value, str) else value
        if not isinstance(values, list) or not all(isinstance(entry, str) for entry in values):
            raise wrong(name, "Expected a list of texts.")
        return [checked(name, entry) for entry in values]

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """Return a list of objects. Raises: Invalid."""
        value = self.given.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise wrong(name, "Expected a list of objects.")
        return value

    def part(self, name: str) -> "Call":
        """Return an object within the body as a call of its own; an empty one where it is missing. Raises: Invalid."""
        value = self.given.get(name)
        if value is None:
            return Call(self.user, {})
        if not isinstance(value, dict):
            raise wrong(name, "Expected an object.")
        return Call(self.user, value)

    def pairs(self, name: str) -> dict[str, str]:
        """Return a list of `{"key", "value"}` as a mapping; the last of a key counts. Raises: Invalid."""
        found = {}
        for row in self.rows(name):
            entry = Call(self.user, row)
            found[entry.needed("key")] = entry.text("value")
        return found


def read(body: bytes) -> Mapping[str, Any]:
    """Read a JSON body; none is an empty object. Raises: TooLarge, Invalid."""
    if len(body) > LARGEST_BODY:
        msg = f"A request may have {LARGEST_BODY} bytes. Send several."
        raise TooLarge(msg)
    if not body:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        msg = f"Not valid JSON: {error}"
        raise Invalid(msg) from error
    if not isinstance(document, dict):
        msg = "Expected a JSON object."
        raise Invalid(msg)
    return document


def of_query(lists: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the fields of a query; `name[]` means `name`, as some clients write a list."""
    return {name.removesuffix("[]"): values[0] if len(values) == 1 else list(values) for name, values in lists.items()}


def whole(name: str, value: Any) -> int:
    """Read a whole number that may come as text. Raises: Invalid."""
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value not in _INT64:
        raise wrong(name, "Expected a whole number.")
    return value


def moment(name: str, value: int) -> datetime:
    """Return a time given in milliseconds since 1970. Raises: Invalid out of the years that there are."""
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        raise wrong(name, "Out of range.") from None


def missing(name: str) -> Invalid:
    return Invalid(f"Missing value for required parameter '{name}'.", errors={name: ["This field is required."]})


def absent(kind: str, name: str) -> NotFound:
    """Say which object there is not, or is not for who asks: the same words for both."""
    return NotFound(f"There is no {kind} with id={name[:100]}, or you may not see it.")
