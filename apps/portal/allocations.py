"""Requests for more: those one decides, and one's own."""

from typing import Any

from django.db.models import QuerySet

from apps.quotas.choices import RequestState
from apps.quotas.models import AllocationRequest

MOST = 100


def to_decide(user: Any) -> "QuerySet[Any]":
    """Return the open requests that the person may answer: nobody his own."""
    rows = AllocationRequest.objects.visible_to(user, "decide").filter(state=RequestState.OPEN)
    found: QuerySet[Any] = rows.exclude(asked_by_id=user.pk).select_related("node", "asked_by").order_by("created_at")
    return found


def made_by(user: Any) -> "QuerySet[Any]":
    """Return the person's own requests, the newest first."""
    rows = AllocationRequest.objects.visible_to(user, "view").filter(asked_by_id=user.pk)
    found: QuerySet[Any] = rows.select_related("node", "decided_by").order_by("-created_at")
    return found


def count_waiting(user: Any) -> int:
    """Count what waits for the person's answer. Mostly there is nothing at all, and every page asks."""
    if not AllocationRequest.objects.filter(state=RequestState.OPEN).exists():
        return 0
    return to_decide(user)[:MOST].count()
