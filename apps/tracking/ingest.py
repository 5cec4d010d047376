"""Writing a batch: the same few statements for the native handler and for everybody else.

`writing` is a generator that yields statements and is sent their rows, so that it knows nothing of sync or async.

LOCKING: within a run always the batch's own row, then series, params, tags, each by name; so batches that come
together wait for each other, and never in a circle.
"""

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
from django.db import connection, transaction
from psycopg import AsyncConnection

from apps.core import failpoints
from apps.core.errors import IdempotencyMismatch, Invalid
from apps.tracking.batches import Batch, array

Rows = Sequence[tuple[Any, ...]]
Statements = Generator[tuple[str, Mapping[str, Any]], Rows, "Outcome"]

_LAST_STEP = (1 << 63) - 1

_REMEMBER = """
INSERT INTO tracking_metricbatch (id, run_id, fingerprint) VALUES (%(id)s, %(run)s, %(fingerprint)s)
ON CONFLICT (id) DO NOTHING RETURNING id
"""

_RECALL = "SELECT fingerprint FROM tracking_metricbatch WHERE id = %(id)s"

_PROJECT = "(SELECT project_id FROM tracking_run WHERE id = %(run)s::uuid)"

# An update that changes nothing: it locks the rows that are there and adds the others, in one pass by name.
_LOCK = f"""
INSERT INTO tracking_metricseries AS series (run_id, project_id, key, count)
SELECT %(run)s::uuid, {_PROJECT}, name, 0 FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS names (name, number) ORDER BY number
ON CONFLICT (run_id, key) DO UPDATE SET count = series.count
RETURNING key, last_step
"""  # noqa: S608 -- built from constants


def _timestamp(us: str) -> str:
    """Return the SQL of a time given in microseconds. In days, because an interval is multiplied as a float."""
    days = f"interval '1 day' * ({us} / 86400000000) + interval '1 microsecond' * mod({us}, 86400000000)"
    return f"(timestamp 'epoch' + {days}) AT TIME ZONE 'UTC'"


# With an id this statement also remembers the batch, and does nothing when it is known; then it is whole in itself.
_POINTS = f"""
WITH fresh AS (
    INSERT INTO tracking_metricbatch (id, run_id, fingerprint)
    SELECT %(id)s::uuid, %(run)s::uuid, %(fingerprint)s::bytea WHERE %(id)s::uuid IS NOT NULL
    ON CONFLICT (id) DO NOTHING RETURNING id
), names AS (
    SELECT name, number FROM unnest(%(keys)s::text[]) WITH ORDINALITY AS names (name, number)
), points AS MATERIALIZED (
    SELECT number, value, step, coalesce(us, (extract(epoch FROM now()) * 1000000)::int8) AS us, arrival
    FROM unnest(%(index)s::int8[], %(values)s::float8[], %(steps)s::int8[], %(times)s::int8[])
        WITH ORDINALITY AS points (number, value, step, us, arrival)
    WHERE %(id)s::uuid IS NULL OR EXISTS (SELECT FROM fresh)
), summary AS (
    SELECT number, count(*) AS count, max(ARRAY[step, us, arrival]) AS last,
        min(nullif(value, 'NaN')) AS min_value, max(nullif(value, 'NaN')) AS max_value,
        min(step) AS first_step, min(us) AS first_us, max(us) AS latest_us
    FROM points GROUP BY number
), series AS (
    INSERT INTO tracking_metricseries AS old (
        run_id, project_id, key, count, last_value, last_step, last_time, min_value, max_value, first_step, first_time, latest_time
    )
    SELECT %(run)s::uuid, {_PROJECT}, name, count, value, last[1], {_timestamp("last[2]")}, min_value, max_value,
        first_step, {_timestamp("first_us")}, {_timestamp("latest_us")}
    FROM summary JOIN names USING (number) JOIN points ON points.arrival = summary.last[3]
    ORDER BY names.number
    ON CONFLICT (run_id, key) DO UPDATE SET
        project_id = excluded.project_id,
        count = old.count + excluded.count,
        last_value = CASE WHEN (old.last_step, old.last_time) > (excluded.last_step, excluded.last_time)
            THEN old.last_value ELSE excluded.last_value END,
        last_time = CASE WHEN (old.last_step, old.last_time) > (excluded.last_step, excluded.last_time)
            THEN old.last_time ELSE excluded.last_time END,
        last_step = greatest(old.last_step, excluded.last_step),
        min_value = least(old.min_value, excluded.min_value),
        max_value = greatest(old.max_value, excluded.max_value),
        first_step = least(old.first_step, excluded.first_step),
        first_time = least(old.first_time, excluded.first_time),
        latest_time = greatest(old.latest_time, excluded.latest_time)
    RETURNING id, key, count
), written AS (
    INSERT INTO tracking_metricpoint (series_id, ordinal, step, time, value)
    SELECT series.id, series.count - summary.count - 1 + row_number() OVER (PARTITION BY number ORDER BY arrival),
        step, {_timestamp("us")}, value
    FROM points JOIN summary USING (number) JOIN names USING (number) JOIN series ON series.key = names.name
    ORDER BY number, arrival
    RETURNING 1
)
SELECT count(*) FROM written
"""  # noqa: S608 -- built from constants

_NAMES = f"""
INSERT INTO {{table}} (run_id, project_id, key, value)
SELECT %(run)s::uuid, {_PROJECT}, name, value FROM unnest(%(names)s::text[], %(texts)s::text[])
    WITH ORDINALITY AS given (name, value, number) ORDER BY number
ON CONFLICT (run_id, key) DO UPDATE SET value = excluded.value
"""  # noqa: S608 -- built from constants
_PARAMS = _NAMES.format(table="tracking_param")
# The row that is there is written as it was: so it is locked, and returned to be compared.
_KEPT_PARAMS = f"""
INSERT INTO tracking_param AS old (run_id, project_id, key, value)
SELECT %(run)s::uuid, {_PROJECT}, name, value FROM unnest(%(names)s::text[], %(texts)s::text[])
    WITH ORDINALITY AS given (name, value, number) ORDER BY number
ON CONFLICT (run_id, key) DO UPDATE SET value = old.value RETURNING key, value
"""  # noqa: S608 -- built from constants
_TAGS = _NAMES.format(table="tracking_tag")


@dataclass(frozen=True, slots=True)
class Key:
    """By what a repeat is recognised. `fingerprint` is set where the id may serve for one request only."""

    id: UUID
    fingerprint: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a batch brought; `duplicate` when it had been accepted before, and nothing was added."""

    metrics: int
    params: int
    tags: int
    duplicate: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "params": self.params, "tags": self.tags, "duplicate": self.duplicate}


def key_of(
    run_id: UUID, batch: Batch, *, sender: object, idempotency_key: str | None = None, body: bytes = b""
) -> Key | None:
    """Return the key of a batch: its own id, else one made of the Idempotency-Key, else None (then every copy counts).

    Raises: Invalid for an ill-formed Idempotency-Key.
    """
    if idempotency_key is not None and not (0 < len(idempotency_key) <= 255 and _is_printable(idempotency_key)):  # noqa: PLR2004 -- as for every door
        raise Invalid(errors={"Idempotency-Key": ["Must be 1 to 255 printable ASCII characters."]})
    if batch.id is not None:
        return Key(_derived(run_id, "batch", batch.id))
    if idempotency_key is None:
        return None
    return Key(_derived(run_id, "key", f"{sender}|{idempotency_key}"), hashlib.sha256(body).digest())


def key_by_content(run_id: UUID, batch: Batch) -> Key | None:
    """Return the key of a batch whose sender gives none: the same points, params and tags once more are a repeat.

    It is for points that carry their times; of params and tags alone a repeat changes nothing anyway.
    """
    if not batch.keys:
        return None
    content = [batch.keys, batch.index, batch.steps, batch.times, batch.params, batch.tags]
    return Key(_derived(run_id, "content", hashlib.sha256(orjson.dumps(content) + batch.values.encode()).hexdigest()))


def write(run_id: UUID, batch: Batch, key: Key | None, *, savepoint: bool = True) -> Outcome:
    """Write a batch in one transaction. Raises: Invalid, IdempotencyMismatch; without a savepoint the caller then gives up his own."""
    with transaction.atomic(savepoint=savepoint), connection.cursor() as cursor:
        statements = writing(run_id, batch, key)
        try:
            sql, values = next(statements)
            while True:
                cursor.execute(sql, values)
                sql, values = statements.send(cursor.fetchall() if cursor.description else [])
        except StopIteration as end:
            outcome: Outcome = end.value
        failpoints.hit("metrics.before_commit")
    return outcome


async def write_async(opened: AsyncConnection[Any], run_id: UUID, batch: Batch, key: Key | None) -> Outcome:
    """Do the same on a connection of the native handlers, which commits by itself a statement that stands alone."""
    is_alone = is_single(batch) or (key is None and _is_one_name(batch))
    if is_alone:
        failpoints.hit("metrics.before_commit")
    async with nullcontext() if is_alone else opened.transaction():
        statements = writing(run_id, batch, key)
        try:
            sql, values = next(statements)
            while True:
                cursor = await opened.execute(sql.encode(), values)
                sql, values = statements.send(await cursor.fetchall() if cursor.description else [])
        except StopIteration as end:
            outcome: Outcome = end.value
        if not is_alone:
            failpoints.hit("metrics.before_commit")
    return outcome


def is_single(batch: Batch) -> bool:
    """Tell whether one statement writes the batch: it has points only, each with its step. Nearly all are so."""
    return bool(batch.keys) and not batch.params and not batch.tags and None not in batch.steps


def _is_one_name(batch: Batch) -> bool:
    """Tell whether the batch is one param or one tag, which nothing else could contradict."""
    return not batch.keys and batch.id is None and len(batch.params) + len(batch.tags) == 1


def writing(run_id: UUID, batch: Batch, key: Key | None) -> Statements:
    """Yield what is to be executed in one transaction; be sent the rows of each."""
    outcome = Outcome(batch.size, len(batch.params), len(batch.tags))
    memory = {"run": run_id, "id": key and key.id, "fingerprint": key and key.fingerprint}
    if is_single(batch):
        if (yield _POINTS, _columns(batch, batch.steps, memory))[0][0] == batch.size:
            return outcome
        return (yield from _repeated(outcome, key))
    if key is not None and not (yield _REMEMBER, memory):
        return (yield from _repeated(outcome, key))
    if batch.keys:
        steps = batch.steps
        if None in steps:
            steps = _with_steps(batch, (yield _LOCK, {"run": run_id, "keys": list(batch.keys)}))
        yield _POINTS, _columns(batch, steps, {"run": run_id, "id": None, "fingerprint": None})
    params = _KEPT_PARAMS if batch.keeps_params else _PARAMS
    for sql, given in ((params, batch.params), (_TAGS, batch.tags)):
        if given:
            rows = yield sql, {"run": run_id, "names": list(given), "texts": list(given.values())}
            _require_same(given, rows)
    return outcome


def _require_same(given: Mapping[str, str], rows: Rows) -> None:
    """Refuse a param that had another value before, where the statement told it."""
    for name, value in rows:
        if given[name] != value:
            sentence = f"It was logged as {value[:100]!r} before; the value of a param does not change."
            raise Invalid(errors={f"params.{name}": [sentence]})


def _columns(batch: Batch, steps: Sequence[int | None], memory: Mapping[str, Any]) -> dict[str, Any]:
    arrays = {"index": array(batch.index), "steps": array(steps), "times": array(batch.times), "values": batch.values}
    return {"keys": list(batch.keys), **arrays, **memory}


def _repeated(outcome: Outcome, key: Key | None) -> Statements:
    """Answer a batch that is known. Raises: IdempotencyMismatch when its key was used for another one."""
    if key is not None and key.fingerprint is not None:
        rows = yield _RECALL, {"id": key.id}
        if rows and rows[0][0] is not None and bytes(rows[0][0]) != key.fingerprint:
            msg = "The key was already used for a request with another body."
            raise IdempotencyMismatch(msg)
    return replace(outcome, duplicate=True)


def _with_steps(batch: Batch, rows: Rows) -> list[int]:
    """Give each point without a step the one after the highest its series has, counting the batch so far."""
    known = {key: -1 if step is None else step for key, step in rows}
    highest: list[int] = [known[key] for key in batch.keys]
    steps = []
    for number, given in zip(batch.index, batch.steps, strict=True):
        step = highest[number - 1] + 1 if given is None else given
        highest[number - 1] = max(highest[number - 1], step)
        steps.append(step)
    if max(highest) > _LAST_STEP:
        raise Invalid(errors={"metrics.step": ["A metric is at the highest step there is; give the step."]})
    return steps


def _derived(run_id: UUID, kind: str, value: object) -> UUID:
    return UUID(bytes=hashlib.sha256(f"{run_id}|{kind}|{value}".encode()).digest()[:16])


def _is_printable(key: str) -> bool:
    return key.isascii() and key.isprintable()
