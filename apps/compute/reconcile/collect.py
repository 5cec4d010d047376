"""The log collector: from the backends into the store, and a hint "there is more" to whoever follows.

A log that moves is looked at every few milliseconds, a silent one ever more seldom, but as often as a small share of
the time allows. Several collectors do no harm: appending is a compare-and-swap.
"""

import time
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from django.db.models import Q

from apps.compute import registry
from apps.compute.backends.base import Unavailable
from apps.compute.models import Attempt
from apps.compute.reconcile.finalize import collect
from apps.core.announcements import announce

logger = structlog.get_logger(__name__)

_FASTEST, _SILENT, _SLOWEST = 0.005, 0.03, 0.4  # seconds between two looks at one log
_SHARE = 0.05  # of the time may go into looking at silent logs
_LIST_EVERY = 1.0


@dataclass
class _Source:
    attempt: Attempt
    pause: float = _FASTEST
    due: float = 0.0


@dataclass
class Collector:
    """Copies the logs of all live attempts; `turn` is called again and again by one thread."""

    sources: dict[UUID, _Source] = field(default_factory=dict)
    _listed_at: float = float("-inf")

    def turn(self) -> float:
        """Look at what is due; return how many seconds may pass until the next turn."""
        now = time.monotonic()
        if now - self._listed_at > _LIST_EVERY:
            self._list()
            self._listed_at = now
        for source in list(self.sources.values()):
            if source.due <= now:
                self._look(source)
        wait = min((source.due for source in self.sources.values()), default=now + _LIST_EVERY) - time.monotonic()
        return min(max(wait, 0.0), _LIST_EVERY)

    def expect_news(self) -> None:
        """List anew with the next turn: something was started."""
        self._listed_at = float("-inf")

    def _list(self) -> None:
        live = Attempt.objects.filter(Q(verdict=""), log_ended_at=None, submitted_at__isnull=False)
        found = {attempt.pk: attempt for attempt in live.select_related("cluster", "workload")}
        self.sources = {pk: self.sources.get(pk) or _Source(attempt) for pk, attempt in found.items()}
        for pk, attempt in found.items():  # a crash of the database may have taken back what was appended last
            known = self.sources[pk].attempt
            known.log_bytes = min(known.log_bytes, attempt.log_bytes)

    def _look(self, source: _Source) -> None:
        attempt = source.attempt
        began = time.monotonic()
        try:
            backend = registry.connect(attempt.cluster.kind, attempt.cluster.settings)
            moved = collect(backend, attempt)
        except Unavailable as error:
            logger.warning("log_unavailable", attempt=attempt.handle, error=str(error))
            source.due = time.monotonic() + _LIST_EVERY
            return
        if moved:
            source.pause = _FASTEST
        else:
            cost = (time.monotonic() - began) * len(self.sources)
            source.pause = min(_SLOWEST, max(_SILENT, cost / _SHARE), source.pause * 1.3)
        source.due = time.monotonic() + source.pause
        if moved:
            announce(attempt.workload.subject, {"type": "log.more", "attempt": attempt.no, "upto": attempt.log_bytes})
