"""Pages of the wire: a token is the place where the next page begins, unreadable to keep people from counting on it."""

import base64
import binascii

import orjson

from apps.core.texts import wrong
from apps.mlflow.calls import Call

_FURTHEST = 1 << 31


def token_of(offset: int) -> str:
    return base64.urlsafe_b64encode(orjson.dumps({"offset": offset})).decode()


def offset_of(call: Call, field: str = "page_token") -> int:
    """Return where the page begins. Raises: Invalid for a token that is none of ours."""
    text = call.text(field, longest=200)
    if not text:
        return 0
    try:
        found = orjson.loads(base64.urlsafe_b64decode(text.encode("ascii")))
        offset = found["offset"]
    except (binascii.Error, UnicodeEncodeError, ValueError, TypeError, KeyError):
        raise wrong(field, "Not a page token of ours.") from None
    if not isinstance(offset, int) or isinstance(offset, bool) or not 0 <= offset < _FURTHEST:
        raise wrong(field, "Not a page token of ours.")
    return offset
