from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.teams.choices import TeamRole


class Organization(models.Model):
    """The top of the tenancy tree: teams that may see each other's organization-wide assets.

    `group` mirrors everybody who is in one of its teams, for grants.
    """

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="organization", editable=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """People who share assets and quota. `group` mirrors the members, for grants and directory services."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="teams")
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team", editable=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=TeamRole, default=TeamRole.MEMBER)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user}, {self.role} of {self.team}"
