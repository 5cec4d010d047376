"""The log store: the bytes of an attempt's log by offset. Appending is a compare-and-swap on the length."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction
from django.db.models.functions import Now

from apps.compute.models import Attempt
from apps.compute.models import LogChunk as Chunk
from apps.core import failpoints
from apps.core.locks import lock_row

_MERGED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LogPiece:
    """Bytes `offset` to `offset + len(data)`; `eof` when nothing will ever follow; `total` is stored so far."""

    offset: int
    data: bytes
    eof: bool
    total: int


def append(attempt_id: UUID, offset: int, data: bytes) -> bool:
    """Add bytes that begin at `offset`; false when they do not begin at the stored end (somebody else was faster).

    One statement, and its commit does not wait for the disk: what a crash of the server takes back is copied again
    from the backend, which keeps the log until `end` has been committed, and with it all that came before.
    """
    with connection.cursor() as cursor:
        cursor.execute(_APPEND, {"attempt": attempt_id, "offset": offset, "data": data, "length": len(data)})
        return bool(cursor.rowcount == 1)


def end(attempt_id: UUID) -> None:
    """Declare the log complete and merge its pieces into few. Idempotent."""
    failpoints.hit("log.before_eof")
    with connection.cursor() as cursor:
        cursor.execute(_END_SHORT, {"attempt": attempt_id})
        if cursor.rowcount != 1:
            _end_long(attempt_id)


@transaction.atomic
def _end_long(attempt_id: UUID) -> None:
    attempt = lock_row(Attempt.objects.filter(pk=attempt_id))
    if attempt.log_ended_at is not None:
        return
    if attempt.log_bytes:
        merge(attempt)
    Attempt.objects.filter(pk=attempt_id).update(log_ended_at=Now())


def merge(attempt: Attempt) -> None:
    """Rewrite the small pieces of a live log as pieces of about a mebibyte. The attempt's row is locked by the caller."""
    if attempt.log_chunks.count() <= 1:
        return
    pieces: list[Chunk] = []
    buffer, start = bytearray(), 0
    for chunk in attempt.log_chunks.order_by("offset").iterator(chunk_size=256):
        buffer += bytes(chunk.data)
        if len(buffer) >= _MERGED_BYTES:
            pieces.append(Chunk(attempt=attempt, offset=start, data=bytes(buffer)))
            start, buffer = start + len(buffer), bytearray()
    if buffer:
        pieces.append(Chunk(attempt=attempt, offset=start, data=bytes(buffer)))
    attempt.log_chunks.all().delete()
    Chunk.objects.bulk_create(pieces, batch_size=16)


def read(attempt: Attempt, *, offset: int, limit: int) -> LogPiece:
    """Return up to `limit` stored bytes from `offset` on. Reading past the end yields nothing."""
    offset = max(0, min(offset, attempt.log_bytes))
    with connection.cursor() as cursor:
        cursor.execute(READ_PIECES, {"attempt": attempt.pk, "offset": offset, "limit": limit})
        data = b"".join(bytes(row[0]) for row in cursor.fetchall())[:limit]
    ended = attempt.log_ended_at is not None and offset + len(data) >= attempt.log_bytes
    return LogPiece(offset, data, eof=ended, total=attempt.log_bytes)


_APPEND = """
    WITH grown AS (
        UPDATE compute_attempt SET log_bytes = log_bytes + %(length)s
         WHERE id = %(attempt)s AND log_bytes = %(offset)s AND log_ended_at IS NULL RETURNING id)
    INSERT INTO compute_logchunk (attempt_id, "offset", data)
    SELECT grown.id, %(offset)s, %(data)s FROM grown, set_config('synchronous_commit', 'off', true)
"""

# Most logs are one piece or none: nothing to merge.
_END_SHORT = """
    UPDATE compute_attempt SET log_ended_at = now()
     WHERE id = %(attempt)s AND log_ended_at IS NULL
       AND NOT EXISTS (SELECT FROM compute_logchunk WHERE attempt_id = %(attempt)s OFFSET 1)
"""

# The first piece is cut by the database, so that a reader at the end of a merged log does not fetch a mebibyte.
READ_PIECES = """
    SELECT substring(data FROM GREATEST(%(offset)s - "offset", 0)::int + 1 FOR %(limit)s::int)
      FROM compute_logchunk
     WHERE attempt_id = %(attempt)s
       AND "offset" >= COALESCE((SELECT max("offset") FROM compute_logchunk
                                  WHERE attempt_id = %(attempt)s AND "offset" <= %(offset)s), 0)
       AND "offset" < %(offset)s + %(limit)s
     ORDER BY "offset"
"""
