from typing import Self, TypeVar

from django.db.models import Model, Q
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class ApiTokenQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep tokens that are neither revoked nor expired, by the database's clock."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)
