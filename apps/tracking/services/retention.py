"""How long the files of runs are kept: rules of projects and teams, and what they let go."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet, Sum
from django.utils import timezone

from apps.access import policy
from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.core.errors import Invalid
from apps.core.locks import lock_rows
from apps.storage.handlers import Group
from apps.teams.models import Team
from apps.tracking.choices import RunStatus
from apps.tracking.models import Artifact, Project, Retention, Run
from apps.tracking.services.charging import count

LONGEST_DAYS = 36_500
_AT_ONCE = 500


@transaction.atomic
def set_retention(
    of: Project | Team,
    *,
    by: Any,
    days_after_end: int | None = None,
    days_after_archive: int | None = None,
    reason: str = "",
) -> Retention:
    """Say how long files are kept after the end, or the deletion, of their run; without a number for ever. Audited.

    A project's rule goes before its team's, also one that keeps all for ever; a team without a rule has none.
    Raises: NotAllowed, Invalid.
    """
    policy.require(by, "delete" if isinstance(of, Project) else "manage", of)
    given = {"days_after_end": days_after_end, "days_after_archive": days_after_archive}
    problems = {
        name: [f"Between 0 and {LONGEST_DAYS}."]
        for name, days in given.items()
        if days is not None and not 0 <= days <= LONGEST_DAYS
    }
    if problems:
        raise Invalid(errors=problems)
    whose = {"project": of} if isinstance(of, Project) else {"team": of}
    found: Retention = Retention.objects.update_or_create(**whose, defaults=given)[0]
    audit.record("set_retention", of, by=by, reason=reason, **given)
    return found


@transaction.atomic
def end_retention(of: Project | Team, *, by: Any, reason: str = "") -> None:
    """Take a rule away: the team's counts again for a project, and none for a team. Idempotent. Audited.

    Raises: NotAllowed.
    """
    policy.require(by, "delete" if isinstance(of, Project) else "manage", of)
    whose = {"project": of} if isinstance(of, Project) else {"team": of}
    if Retention.objects.filter(**whose).delete()[0]:
        audit.record("end_retention", of, by=by, reason=reason)


def rule_of(project: Project) -> Retention | None:
    """Return the rule that counts for a project's runs: its own, or its team's."""
    whose = Q(project=project) | (Q(team=project.team_id) if project.team_id else Q(pk=None))
    rules = sorted(Retention.objects.filter(whose), key=lambda rule: rule.project_id is None)
    return rules[0] if rules else None


def due(rule: Retention) -> QuerySet[Any]:
    """Return the files that a rule lets go now."""
    rows = Artifact.objects.unpinned()
    rows = rows.filter(run__project=rule.project_id) if rule.project_id else _of_team(rows, rule)
    now, passed = timezone.now(), Q(pk=None)
    if rule.days_after_end is not None:
        before = now - timedelta(days=rule.days_after_end)
        passed |= Q(run__finished_at__lt=before) & ~Q(run__status=RunStatus.RUNNING)
    if rule.days_after_archive is not None:
        passed |= Q(run__archived_at__lt=now - timedelta(days=rule.days_after_archive))
    found: QuerySet[Any] = rows.filter(passed)
    return found


def _of_team(rows: Any, rule: Retention) -> Any:
    return rows.filter(run__team=rule.team_id, run__project__retention=None)


class Expiry:
    """What the rules let go before a collection of the store."""

    def preview(self) -> Sequence[Group]:
        """Say what would go now: whose, how much, the oldest."""
        return [group for rule in _rules() for group in _groups(rule)]

    def carry_out(self) -> tuple[int, int]:
        """Let it go; return how many files and how many bytes."""
        files, size = 0, 0
        for rule in _rules():
            while page := list(due(rule).order_by("run_id").values_list("pk", "run_id")[:_AT_ONCE]):
                gone = _let_go(rule, page)
                files, size = files + gone[0], size + gone[1]
                if not gone[0]:
                    break  # somebody pinned them, or deleted them, meanwhile
        return files, size


def _rules() -> Iterable[Retention]:
    return Retention.objects.select_related("project", "team").order_by("pk")


def _groups(rule: Retention) -> list[Group]:
    by_owner = due(rule).values("run__owner__username", "run__project__name").order_by("run__owner__username")
    found = by_owner.annotate(files=Count("pk"), size=Sum("size_bytes"), first=Min("created_at"))
    return [
        Group(
            row["run__owner__username"],
            row["run__project__name"],
            row["files"],
            int(row["size"]),
            row["first"],
            str(rule),
        )
        for row in found
    ]


@transaction.atomic
def _let_go(rule: Retention, page: Sequence[tuple[Any, Any]]) -> tuple[int, int]:
    """Delete some files that are due, give back what they took of quotas, and write it down, all or none."""
    # LOCKING: the runs in their order, as whoever records or deletes a file locks them; then the limit rows.
    lock_rows(Run.objects.filter(pk__in={run for _, run in page}))
    rows = list(due(rule).filter(pk__in=[pk for pk, _ in page]).select_related("quota_node"))
    back: dict[Any, int] = defaultdict(int)
    for row in rows:
        if row.quota_node is not None:
            back[row.quota_node] += row.size_bytes
    Artifact.objects.filter(pk__in=[row.pk for row in rows]).delete()
    for node in sorted(back, key=lambda node: node.pk):
        count(node, -back[node])
    size = sum(row.size_bytes for row in rows)
    if rows:
        audit.record("expire", rule, by=SYSTEM, files=len(rows), bytes=size)
    return len(rows), size
