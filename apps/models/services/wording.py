"""What names, tags and texts may be, said the same at every door."""

import re
from collections.abc import Mapping
from typing import Any

from apps.core.errors import Invalid

MOST_TAGS = 200
LONGEST_KEY = 250
LONGEST_TAG = 5000
_ALIAS = re.compile(r"[\w-]{1,250}")
_NUMBERED = re.compile(r"[vV]\d+")


def checked_text(field: str, text: Any, longest: int) -> str:
    """Return a text that can be stored. Raises: Invalid."""
    if not isinstance(text, str) or "\x00" in text or not _is_unicode(text):
        raise Invalid(errors={field: ["Expected text."]})
    if len(text) > longest:
        raise Invalid(errors={field: [f"At most {longest} characters."]})
    return text


def checked_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    """Return tags that can be stored. Raises: Invalid."""
    if len(tags) > MOST_TAGS:
        raise Invalid(errors={"tags": [f"At most {MOST_TAGS} at once."]})
    for key in tags:
        if not key or "\x00" in key or len(key) > LONGEST_KEY or not _is_unicode(key):
            raise Invalid(errors={"tags": [f"A key has 1 to {LONGEST_KEY} characters."]})
    return {key: checked_text(f"tags.{key}", value, LONGEST_TAG) for key, value in tags.items()}


def checked_alias(name: str) -> str:
    """Return an alias that every client can write. Raises: Invalid."""
    if not _ALIAS.fullmatch(name):
        raise Invalid(errors={"alias": ["Letters, digits, - and _, at most 250 of them."]})
    if name.lower() == "latest" or _NUMBERED.fullmatch(name):
        raise Invalid(errors={"alias": [f"{name} means a version already."]})
    return name


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
