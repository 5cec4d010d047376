from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.accounts.choices import PlatformRole
from apps.directory.choices import DIRECTORIES, Outcome
from apps.teams.choices import TeamRole
from apps.teams.models import Team


class DirectoryRule(models.Model):
    """Who is in `group` gets `role` in `team`, or a role on the platform. Of several for one team the first counts."""

    source = models.CharField("directory", max_length=5, choices=DIRECTORIES, default=DIRECTORIES[0][0])
    group = models.CharField(max_length=500, help_text="An LDAP group's DN or name, or a value of the groups claim.")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="directory_rules")
    role = models.CharField("role in the team", max_length=10, choices=TeamRole, blank=True)
    platform_role = models.CharField(max_length=8, choices=PlatformRole, default="", blank=True)
    order = models.PositiveIntegerField(default=100, help_text="The lowest comes first.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(team=None, role="") & ~models.Q(platform_role="")
                | models.Q(team__isnull=False, platform_role="") & ~models.Q(role=""),
                name="rule_gives_one_thing",
                violation_error_message="Name a team with a role, or a platform role; one of them.",
            ),
            models.UniqueConstraint(
                fields=["source", "group", "team"], nulls_distinct=False, name="one_rule_per_group_and_team"
            ),
        ]

    @override
    def __str__(self) -> str:
        return f"{self.group} \N{RIGHTWARDS ARROW} {self.gives}"

    @property
    def gives(self) -> str:
        """What it gives, in words."""
        return f"{self.role} of {self.team.slug}" if self.team else f"{self.platform_role} of the platform"


class DirectoryPerson(models.Model):
    """What a directory last told of an account, and the platform role that a rule gave it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="directory_person"
    )
    groups = models.JSONField(default=list)
    seen_at = models.DateTimeField()
    given_platform_role = models.CharField(max_length=8, blank=True)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return f"directory entry of {self.user}"


class DirectorySync(models.Model):
    """One comparison of accounts and memberships with the directory, and what came of it."""

    id = models.BigAutoField(primary_key=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    outcome = models.CharField(max_length=6, choices=Outcome)
    asked_by = models.CharField(max_length=150)
    counts = models.JSONField(default=dict)
    message = models.TextField(blank=True)
    changes = models.JSONField(default=list)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        verbose_name = "directory sync"

    @override
    def __str__(self) -> str:
        return f"sync of {self.started_at:%Y-%m-%d %H:%M}, {self.get_outcome_display().lower()}"
