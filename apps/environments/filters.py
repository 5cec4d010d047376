"""The filters of lists of environments, shared by page and API: a mapping of strings in, a narrowed queryset out."""

from typing import Any

from apps.core.errors import Invalid

_LONGEST = 250


def narrow(rows: Any, query: Any, by: Any) -> Any:
    """Keep what matches: `q` is part of the name, `name` all of it, `team` a slug, `shared` anything. Raises: Invalid."""
    words = {name: _word(query, name) for name in ("q", "name", "team")}
    exact = {"name__icontains": words["q"], "name": words["name"], "team__slug": words["team"]}
    found = rows.filter(**{name: value for name, value in exact.items() if value})
    return found.shared_with(by) if query.get("shared") else found


def _word(query: Any, name: str) -> str:
    value = str(query.get(name, "")).strip()
    if "\x00" in value or len(value) > _LONGEST:
        raise Invalid(errors={name: [f"Text of at most {_LONGEST} characters."]})
    return value
