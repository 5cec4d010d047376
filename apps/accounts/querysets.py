from datetime import datetime
from typing import Any, Self, TypeVar

from django.conf import settings
from django.db.models import Exists, Model, OuterRef, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class UserQuerySet(GuardedQuerySet[M_co]):
    def in_no_team(self) -> Self:
        """Keep who is in no group; each mirrors a team or an organization.

        `groups=None` would join, be guessed to hold for nobody, and make a list row by row.
        """
        model: Any = self.model
        return self.filter(~Exists(model.groups.through.objects.filter(user=OuterRef("pk"))))


class ApiTokenQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep tokens that are neither revoked nor expired, by the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)

    def unused_since(self, moment: datetime) -> Self:
        """Keep live tokens older than `moment` that nobody has used after it."""
        return self.live().filter(Q(last_used_at=None) | Q(last_used_at__lt=moment), created_at__lt=moment)


class RegistrationQuerySet(GuardedQuerySet[M_co]):
    def waiting(self) -> Self:
        """Keep those that nobody has decided on."""
        return self.filter(decided_at=None)


class UserSessionQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep sessions that were used lately and are not too old, by the database's clock."""
        return self.filter(expires_at__gt=Now(), last_seen_at__gt=Now() - settings.SESSION_IDLE)

    def run_out(self) -> Self:
        """Keep sessions that open nothing any more."""
        return self.filter(Q(expires_at__lte=Now()) | Q(last_seen_at__lte=Now() - settings.SESSION_IDLE))
