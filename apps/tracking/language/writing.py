"""The language written: the other way round of `grammar`."""

import re

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-/:]*", re.ASCII)
_WORDS = {"metric": "metrics", "param": "params", "tag": "tags", "attribute": "attributes", "dataset": "datasets"}


def identifier_of(entity: str, key: str) -> str | None:
    """Write what is compared, as short as it can be read; None for a key that holds both kinds of its quotes."""
    if entity == "attribute" and _PLAIN.fullmatch(key) and "." not in key:
        return key
    quoted = _quoted_key(key)
    return None if quoted is None else f"{_WORDS[entity]}.{quoted}"


def text_of(value: str) -> str | None:
    """Write a text; None for one that holds both kinds of quotes, which the language cannot say."""
    for quote in ("'", '"'):
        if quote not in value:
            return f"{quote}{value}{quote}"
    return None


def comparison_of(entity: str, key: str, value: str | None) -> str | None:
    """Write that something has this value, or that there is none of it; None where the language cannot say it."""
    identifier = identifier_of(entity, key)
    if identifier is None:
        return None
    if value is None:
        return f"{identifier} IS NULL"
    quoted = text_of(value)
    return None if quoted is None else f"{identifier} = {quoted}"


def _quoted_key(key: str) -> str | None:
    if _PLAIN.fullmatch(key):
        return key
    for quote in ("`", '"'):
        if quote not in key and key:
            return f"{quote}{key}{quote}"
    return None
