"""What was refused: collected while a request is answered, written when its transaction is over.

The first refusal of a kind is a row of the trail at once. Equal ones within the next minute are counted in one row
(`DenialCount`), which the worker folds into the trail: a flood costs an update each, and no count is lost when a process
dies. What one principal can make different is bounded too; beyond the bound it is counted without the object.
"""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import orjson
import structlog
from django.db import DatabaseError, InterfaceError, connection, transaction

from apps.audit.choices import Outcome
from apps.audit.models import AuditEvent
from apps.core.middleware import current_request

logger = structlog.get_logger(__name__)

WINDOW = timedelta(minutes=1)
MOST_KINDS = 60  # of one principal, in one process, in one minute
MOST_ANONYMOUS = 300  # of all who are nobody, likewise
MOST_PER_REQUEST = 200
SEVERAL = "(several)"
_WRITE = """
    WITH counted AS (
        INSERT INTO audit_denialcount (key, facts) VALUES (%(key)s, %(facts)s)
            ON CONFLICT (key) DO UPDATE SET repeats = audit_denialcount.repeats + 1, last_at = clock_timestamp()
        RETURNING repeats
    )
    INSERT INTO audit_auditevent (organization_id, actor_id, actor_label, on_behalf_of, token_id, origin, ip, request_id,
                                  action, object_type, object_id, object_label, outcome, reason, data)
    SELECT %(organization_id)s::bigint, %(actor_id)s::bigint, %(actor_label)s, %(on_behalf_of)s, %(token_id)s::uuid,
           %(origin)s, %(ip)s::inet, %(request_id)s, %(action)s, %(object_type)s, %(object_id)s, %(object_label)s, 'denied',
           %(reason)s, %(data)s::jsonb
      FROM counted WHERE repeats = 0
"""
_FOLD = """
    DELETE FROM audit_denialcount WHERE since < clock_timestamp() - make_interval(secs => %s) RETURNING facts, repeats, since, last_at
"""


@dataclass(frozen=True, slots=True)
class Denial:
    """One refusal: who, what, of which object, why. Holds nothing secret, and nothing that was typed."""

    actor_id: int | None
    actor_label: str
    token_id: str | None
    on_behalf_of: str
    action: str
    object_type: str
    object_id: str
    object_label: str
    organization_id: int | None
    code: str
    reason: str


_collected: ContextVar[list[Denial] | None] = ContextVar("collected_denials", default=None)


@contextmanager
def collecting() -> Iterator[list[Denial]]:
    """Collect what is noted until the end of the block."""
    noted: list[Denial] = []
    held = _collected.set(noted)
    try:
        yield noted
    finally:
        _collected.reset(held)


def note(denial: Denial) -> None:
    """Remember a refusal for the door of this request, if it has one that collects."""
    noted = _collected.get()
    if noted is not None and len(noted) < MOST_PER_REQUEST:
        noted.append(denial)


def write(denial: Denial, *, route: str = "") -> None:
    """Write a refusal, or count it with the equal one of this minute. Never raises: the answer stays what it is."""
    context = current_request.get()
    denial, ip = _flood.narrow(denial, context.ip)
    facts = {**asdict(denial), "origin": context.origin, "ip": ip, "route": route}
    row = {
        **facts,
        "key": _key(facts),
        "facts": orjson.dumps(facts).decode(),
        "request_id": context.request_id,
        "data": orjson.dumps(_data(facts)).decode(),
    }
    try:
        with connection.cursor() as cursor:
            cursor.execute(_WRITE, row)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("denial_unrecorded", error=str(error).strip(), **facts)


@transaction.atomic
def fold(*, window: timedelta = WINDOW) -> int:
    """Write what was counted in windows that are over into the trail; return how many refusals that were."""
    with connection.cursor() as cursor:
        cursor.execute(_FOLD, [window.total_seconds()])
        counted = [(orjson.loads(facts), *rest) for facts, *rest in cursor.fetchall()]
    events = [_folded(facts, *rest) for facts, *rest in counted if rest[0]]
    AuditEvent.objects.bulk_create(events)
    return sum(event.data["repeats"] for event in events)


def _folded(facts: dict[str, Any], repeats: int, since: Any, last_at: Any) -> AuditEvent:
    data = {**_data(facts), "repeats": repeats, "since": since.isoformat(), "until": last_at.isoformat()}
    names = {field.attname for field in AuditEvent._meta.concrete_fields}  # noqa: SLF001 -- documented Django API
    known = {name: value for name, value in facts.items() if name in names}
    return AuditEvent(**known, outcome=Outcome.DENIED, data=data)


def _data(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: facts[name] for name in ("code", "route") if facts[name]}


def _key(facts: dict[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps({**facts, "reason": ""}, option=orjson.OPT_SORT_KEYS)).hexdigest()


class _Flood:
    """Bounds how many different refusals become rows, per principal and minute. One per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._seen: dict[str, set[Any]] = {}

    def narrow(self, denial: Denial, ip: str | None) -> tuple[Denial, str | None]:
        """Return the refusal as it is, or without its object when there are too many different ones."""
        is_anonymous = denial.actor_id is None
        kind = (denial.token_id, denial.action, denial.object_type, denial.object_id, denial.code)
        with self._lock:
            if self._minute != (minute := int(time.monotonic() // WINDOW.total_seconds())):
                self._minute, self._seen = minute, {}
            if is_anonymous and self._is_one_too_many("", (ip, *kind), MOST_ANONYMOUS):
                ip = None
            elif not self._is_one_too_many(f"{denial.actor_id or ip}", kind, MOST_KINDS):
                return denial, ip
        bare = replace(denial, token_id=None, object_type="", object_id="", object_label="", organization_id=None)
        return replace(bare, action=SEVERAL, on_behalf_of=""), ip

    def _is_one_too_many(self, who: str, kind: Any, most: int) -> bool:
        seen = self._seen.setdefault(who, set())
        if kind not in seen and len(seen) >= most:
            return True
        seen.add(kind)
        return False

    def forget(self) -> None:
        """Begin anew: for tests."""
        with self._lock:
            self._seen = {}


_flood = _Flood()
forget_flood = _flood.forget
