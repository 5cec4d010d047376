from datetime import timedelta
from typing import Self, TypeVar

from django.conf import settings
from django.db.models import Exists, F, Model, OuterRef
from django.db.models.functions import Now

from apps.access.querysets import GuardedQuerySet
from apps.storage import handlers

M_co = TypeVar("M_co", bound=Model, covariant=True)


def grace() -> timedelta:
    """Return how long what nobody refers to is left alone, twice: before it is marked, and before it is swept."""
    return timedelta(hours=settings.GARBAGE_GRACE_HOURS)


class BlobQuerySet(GuardedQuerySet[M_co]):
    def unreferenced(self) -> Self:
        """Keep the blobs that no row of any app refers to."""
        rows = self
        for rows_of in handlers.known():
            rows = rows.exclude(Exists(rows_of().filter(**{f"{handlers.FIELD}": OuterRef("pk")})))
        return rows

    def markable(self) -> Self:
        """Keep what nobody refers to and nobody has begun to keep for a while."""
        return self.unreferenced().filter(doomed_at=None, touched_at__lt=Now() - grace())

    def doomed(self) -> Self:
        """Keep what was marked and is still referred to by nobody."""
        return self.unreferenced().filter(doomed_at__isnull=False)

    def sweepable(self) -> Self:
        """Keep what was marked long enough ago, and has not been touched since."""
        return self.doomed().filter(doomed_at__lt=Now() - grace(), touched_at__lt=F("doomed_at"))
