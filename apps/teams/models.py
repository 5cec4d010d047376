from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils import timezone
from typing_extensions import override

from apps.access.querysets import GuardedQuerySet
from apps.core.ids import new_id
from apps.teams.choices import MembershipSource, TeamRole
from apps.teams.querysets import InvitationQuerySet


class Organization(models.Model):
    """The top of the tenancy tree: teams that may see each other's organization-wide assets.

    `group` mirrors everybody who is in one of its teams, for grants.
    """

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="organization", editable=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)

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
    archived_at = models.DateTimeField(null=True, editable=False, help_text="It takes no new work and no new members.")

    objects = GuardedQuerySet[Any].as_manager()

    @override
    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """One person's role in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=TeamRole, default=TeamRole.MEMBER)
    source = models.CharField(max_length=9, choices=MembershipSource, default=MembershipSource.HAND, editable=False)
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    objects = GuardedQuerySet[Any].as_manager()

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.user}, {self.role} of {self.team}"


class Invitation(models.Model):
    """A one-time link by which somebody joins teams, kept as a digest: shown once, never readable again.

    `for_user` is the account it opens, where an admin has made that account already; who redeems it chooses the
    password only. Otherwise he makes an account, or joins with the one he is logged in with.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    for_user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    email = models.EmailField(blank=True, help_text="To whom it is meant: a note for those who see the list.")
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    redeemed_at = models.DateTimeField(null=True)
    redeemed_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    objects = InvitationQuerySet["Invitation"].as_manager()

    @override
    def __str__(self) -> str:
        return self.email or f"invitation of {self.created_at:%Y-%m-%d}"

    @property
    def state(self) -> str:
        if self.redeemed_at is not None:
            return "redeemed"
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at <= timezone.now() else "pending"


class InvitedTo(models.Model):
    """One team an invitation leads into, and the role there."""

    invitation = models.ForeignKey(Invitation, on_delete=models.CASCADE, related_name="teams")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=10, choices=TeamRole, default=TeamRole.MEMBER)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["invitation", "team"], name="one_role_per_invited_team")
        ]

    @override
    def __str__(self) -> str:
        return f"{self.role} of {self.team}"
