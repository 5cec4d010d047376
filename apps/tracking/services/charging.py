"""What the files of runs take of the quota of whoever brings them."""

from typing import Any

from apps.access import policy
from apps.access.decision import Role
from apps.quotas import services as quotas
from apps.quotas.choices import ARTIFACTS
from apps.quotas.models import QuotaNode
from apps.tracking.models import Run


def payer_of(run: Run, *, by: Any) -> QuotaNode:
    """Return the place in the quota tree that pays for what `by` brings to a run.

    SECURITY: a run in a team lets in whom it was shared with; he may not use what the team has, and pays himself.
    """
    who = run.owner if getattr(by, "is_system", False) else by
    team = run.team
    if team is not None and policy.role_of(who, team) < Role.EDITOR and not getattr(who, "is_superuser", False):
        team = None
    return quotas.leaf_of(who, team)


def count(node: QuotaNode, more: int) -> None:
    """Count so many bytes more, or less, in the caller's transaction. Raises: OverQuota."""
    quotas.keep(node, ARTIFACTS, more)


def require_room(node: QuotaNode, more: int) -> None:
    """Refuse early what would not fit as things stand. Raises: OverQuota."""
    quotas.require_room(node, ARTIFACTS, more)
