"""The dry run and the sync."""

from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.policy import require_admin
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core.errors import Conflict, DomainError, NotAllowed, Stale
from apps.core.locks import advisory
from apps.directory import registry
from apps.directory.choices import Outcome
from apps.directory.config import ldap_config
from apps.directory.models import DirectorySync
from apps.directory.person import Person
from apps.directory.planning import Change, Plan, compute_plan
from apps.directory.services.applying import Applying
from apps.directory.services.state import remembered_people, world_of_all

logger = structlog.get_logger(__name__)

_KEPT = timedelta(days=90)
_MOST_LINES = 1000


def preview(*, by: Any) -> Plan:
    """Return what a sync would change now, and change nothing.

    Raises: NotAllowed unless `by` is an admin or an auditor, Unready when the directory does not answer.
    """
    require_reader(by)
    return _plan(*_read())


def sync(*, by: Any, digest: str = "", force: bool = False) -> DirectorySync:
    """Compare with the directory and do what the comparison says; a failure is written down, not raised. Audited.

    With `digest`, the plan must be the very one that a dry run showed. `force` applies a plan that is held back because
    it shuts out suspiciously many. Raises: NotAllowed unless `by` is an admin, Stale for another plan, Conflict while
    another sync is at work.
    """
    require_admin(by)
    begun = timezone.now()
    try:
        read = _read()
    except DomainError as error:
        return _note(begun, Outcome.FAILED, by=by, message=error.detail)
    with advisory("directory.sync") as is_ours:
        if not is_ours:
            msg = "Another sync is at work."
            raise Conflict(msg)
        plan = _plan(*read)
        if digest and digest != plan.digest:
            msg = "Something has changed since the dry run. Look at a new one."
            raise Stale(msg)
        if plan.held and not force:
            return _note(begun, Outcome.HELD, by=by, plan=plan, message=f"{plan.held} Nothing was changed.")
        try:
            with transaction.atomic():
                Applying(plan).run()
        except DomainError as error:
            return _note(begun, Outcome.FAILED, by=by, plan=plan, message=error.detail)
        return _note(begun, Outcome.DONE, by=by, plan=plan, message=_refusals(plan))


def sync_if_due() -> str:
    """Sync when the last one is long enough ago; any number of processes may ask. Return what happened."""
    minutes = settings.FATHOM_DIRECTORY_SYNC_MINUTES
    if not minutes or ldap_config() is None:
        return ""
    if DirectorySync.objects.filter(started_at__gt=Now() - timedelta(minutes=minutes)).exists():
        return ""
    try:
        return str(sync(by=SYSTEM))
    except Conflict:
        return ""


def require_reader(by: Any) -> None:
    """Let pass who may see everything: admins and auditors. Raises: NotAllowed."""
    if by is SYSTEM or (by.is_active and (by.is_superuser or by.is_auditor)):
        return
    msg = "Only admins and auditors see the directory rules."
    raise NotAllowed(msg)


def _read() -> tuple[list[Person], frozenset[str]]:
    """Ask the directories; outside of any lock, for it is a network call. Raises: Unready."""
    asked = registry.read_all()
    people = [person for everybody in asked.values() for person in everybody]
    return [*people, *remembered_people()], frozenset(source.value for source in asked)


def _plan(people: list[Person], whole: frozenset[str]) -> Plan:
    return compute_plan(people, world_of_all(whole))


def _refusals(plan: Plan) -> str:
    return "\n".join(str(change) for change in plan.refusals[:_MOST_LINES])


def _note(begun: Any, outcome: Outcome, *, by: Any, message: str, plan: Plan | None = None) -> DirectorySync:
    done: tuple[Change, ...] = plan.changes if plan is not None else ()
    log = logger.info if outcome is Outcome.DONE else logger.error
    log("directory_sync", outcome=str(outcome), message=message, changes=len(done))
    row = DirectorySync.objects.create(
        started_at=begun,
        ended_at=timezone.now(),
        outcome=outcome,
        asked_by=str(by)[:150],
        counts=plan.counts if plan is not None else {},
        message=message,
        changes=[str(change) for change in done[:_MOST_LINES]] if outcome is Outcome.DONE else [],
    )
    DirectorySync.objects.filter(started_at__lt=Now() - _KEPT).delete()
    audit.record("sync", row, by=by, outcome=str(outcome), counts=row.counts)
    return row
