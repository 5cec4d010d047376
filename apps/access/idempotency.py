"""`Idempotency-Key`: a repeat of an unsafe request gets the first one's answer, and has no second effect.

The record is written first in the request's own transaction, so key and effect are committed together. A concurrent
repeat waits on the record's unique index for the first to finish. Errors are not kept.
"""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson
from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from apps.access.models import IdempotencyRecord
from apps.core import failpoints
from apps.core.errors import IdempotencyInFlight, IdempotencyMismatch, Invalid

_WAIT = "2s"
_LONGEST = 255


class Replay(Exception):
    def __init__(self, record: IdempotencyRecord) -> None:
        super().__init__(record.key)
        self.record = record


def fingerprint(method: str, path: str, data: Any) -> str:
    """Return by what a repeat is known. SECURITY: keyed, so that the record says nothing about a secret in the body."""
    body = data if isinstance(data, (Mapping, list)) else None
    text = orjson.dumps([method, path, body], option=orjson.OPT_SORT_KEYS, default=str)
    return hmac.new(bytes.fromhex(settings.FATHOM_DATA_KEY), b"idempotency|" + text, hashlib.sha256).hexdigest()


def begin(user: Any, key: str, request_sha256: str) -> IdempotencyRecord:
    """Write the record, inside the caller's transaction.

    Raises: Replay when the request was answered before, IdempotencyMismatch when the key was used for another request,
    IdempotencyInFlight when the first one is still running after two seconds, Invalid for an ill-formed key.
    """
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        raise Invalid(errors={"Idempotency-Key": ["Must be 1 to 255 printable ASCII characters."]})
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [_WAIT])
            record = IdempotencyRecord.objects.create(user=user, key=key, request_sha256=request_sha256)
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', '0', true)")
    except IntegrityError:
        first = IdempotencyRecord.objects.get(user=user, key=key)
        if first.request_sha256 != request_sha256:
            msg = "The key was already used for a request with another method, path or body."
            raise IdempotencyMismatch(msg) from None
        raise Replay(first) from None
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", "") != "55P03":  # lock_not_available
            raise
        msg = "The first request with this key has not finished yet. Try again."
        raise IdempotencyInFlight(msg) from error
    failpoints.hit("idem.after_insert")
    return record


def finish(record: IdempotencyRecord, status: int, data: Any) -> None:
    """Keep the answer, in the same transaction."""
    record.status = status
    record.response = data
    record.save(update_fields=["status", "response"])
