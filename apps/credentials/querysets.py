from typing import Self, TypeVar

from django.db.models import Model

from apps.access.querysets import GuardedQuerySet

M_co = TypeVar("M_co", bound=Model, covariant=True)


class CredentialQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        return self.select_related("owner", "team", "created_by")


class CredentialUseQuerySet(GuardedQuerySet[M_co]):
    def with_details(self) -> Self:
        return self.select_related("user", "credential")
