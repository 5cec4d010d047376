from typing import Self, TypeVar

from django.db.models import Model
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class InvitationQuerySet(GuardedQuerySet[M_co]):
    def pending(self) -> Self:
        """Keep those that could still be redeemed, by the database's clock."""
        return self.filter(redeemed_at=None, revoked_at=None, expires_at__gt=Now())
