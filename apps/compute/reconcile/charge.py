"""The loops of money: charge what runs, stop what no budget carries any more, begin new periods, deliver alerts.

What is charged is the backend's evidence: from the start that it reported to the last time it said that the attempt is
there. This process's clock is in none of it.
"""

from collections.abc import Iterator

import structlog
from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from apps.access.principal import SYSTEM
from apps.budgets import services as budgets
from apps.budgets.models import Hold
from apps.budgets.services import Outcome, Tick
from apps.compute import uses
from apps.compute.choices import DesiredState
from apps.compute.models import Attempt, Workload
from apps.compute.services import request_stop
from apps.compute.times import milliseconds
from apps.core import failpoints
from apps.core.errors import Conflict

logger = structlog.get_logger(__name__)

_PAGE = 200
_OBSERVED_SECONDS = 35  # the longest pause between two observations of something quiet, and a little more


def charge_running() -> str:
    """Charge every attempt that runs and close what ended without: both from evidence, in batches."""
    stopped = 0
    for page in _pages():
        outcomes = budgets.charge([_tick(attempt) for attempt in page])
        failpoints.hit("charge.after_commit")
        for attempt in page:
            if attempt.verdict:
                logger.error("hold_leaked", key=attempt.handle)
            elif (outcome := outcomes.get(attempt.handle)) is not None:
                stopped += _stop_if_short(attempt, outcome)
    return f"stopped {stopped}" if stopped else ""


def _pages() -> Iterator[list[Attempt]]:
    held = Exists(Hold.objects.open().filter(key=OuterRef("handle")))
    has_run = Q(started_at__isnull=False) | ~Q(verdict="")
    rows = Attempt.objects.filter(held, has_run).select_related("workload").order_by("pk")
    page = list(rows[:_PAGE])
    while page:
        yield page
        page = list(rows.filter(pk__gt=page[-1].pk)[:_PAGE])


def _tick(attempt: Attempt) -> Tick:
    ended = bool(attempt.verdict)
    used = uses.cpu_ms(attempt.cpu_seconds)
    return Tick(attempt.handle, evidence_ms(attempt), renews=not ended, is_final=ended, cpu_ms=used)


def evidence_ms(attempt: Attempt) -> int:
    """Return how long the attempt has run as far as anybody knows for certain."""
    seen = attempt.workload.missing_since or attempt.workload.last_seen_at
    return milliseconds(attempt.started_at, attempt.finished_at or seen)


def _stop_if_short(attempt: Attempt, outcome: Outcome) -> bool:
    """Ask for the end in time: what it holds still pays for the grace, and for the time until the next look."""
    workload = attempt.workload
    if outcome.short is None or workload.desired_state == DesiredState.STOP:
        return False
    if outcome.carried_ms is not None and outcome.short.policy == "reserve":
        left = outcome.carried_ms - evidence_ms(attempt)
        if left > _needed_ms(workload):
            return False
    try:
        return request_stop(workload, by=SYSTEM, reason=budgets.told(outcome.short))
    except Conflict:
        return False  # it ended meanwhile


def _needed_ms(workload: Workload) -> int:
    return (workload.grace_seconds + 2 * int(settings.CHARGE_SECONDS) + _OBSERVED_SECONDS) * 1000


def keep_budgets() -> str:
    """Begin the periods that are due, let ended ones lapse, and note which levels were reached."""
    rolled, alerts = budgets.roll_periods(), budgets.raise_alerts()
    parts = [f"{count} {word}" for count, word in ((rolled, "periods turned"), (alerts, "alerts")) if count]
    return ", ".join(parts)


def audit_money() -> str:
    """Compare counters, holds and ledger. A difference is loud: it is a bug, or somebody's hand in the tables."""
    wrong = budgets.drift()
    for line in wrong:
        logger.error("budget_drift", row=line)
    return "; ".join(wrong)
