from datetime import datetime
from typing import Self, TypeVar

from django.db.models import Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


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
