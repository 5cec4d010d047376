from typing import Any, Self, TypeVar

from django.db.models import Exists, F, Model, OuterRef, Prefetch, Q, QuerySet, Window
from django.db.models.functions import Left, Now, RowNumber
from django.db.models.lookups import Exact

from apps.access.querysets import GuardedQuerySet
from apps.storage import handlers

M_co = TypeVar("M_co", bound=Model, covariant=True)

HOLDER = "artifacts"  # under this name the store knows the rows of artifacts
SHOWN_PER_RUN = 1000
"""So many params, tags and metrics of one run are shown with it; what a hostile run has beyond that is not read."""

INDEXED_OF_TEXT = 250
"""So many characters of the value of a tag or param are in the index: the whole would not fit an entry."""


class ProjectQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        return self.select_related("owner", "team")


class RunQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted."""
        return self.filter(archived_at=None)

    def with_details(self) -> Self:
        """Fetch what one line of a list shows; `experiment_pk` is None for a run that no job stands behind."""
        return self.select_related("project", "owner", "team").annotate(experiment_pk=F("experiment__pk"))

    def with_job_state(self) -> Self:
        """Fetch the state of the job behind each run as `job_state`: None for a run that has none."""
        return self.annotate(job_state=F("experiment__workload__state"))

    def with_records(self) -> Self:
        """Fetch params, tags and metric summaries as `shown_…` lists: three queries, however many rows."""
        shown = (
            Prefetch(name, _first_of(self.model, name), to_attr=f"shown_{name}")
            for name in ("params", "tags", "series")
        )
        return self.prefetch_related(*shown)


class NamedQuerySet(QuerySet[M_co]):
    def saying(self, key: str, value: str) -> Self:
        """Keep the tags, or params, of exactly that value."""
        begins = Exact(Left("value", INDEXED_OF_TEXT), value[:INDEXED_OF_TEXT])
        return self.filter(begins, key=key, value=value)

    def first_of_each(self, count: int) -> Self:
        """Keep the first few by name of each run, and order by it."""
        place = Window(RowNumber(), partition_by="run_id", order_by="key")
        return self.annotate(place=place).filter(place__lte=count).order_by("run_id", "key")


def _first_of(model: type[Model], relation: str) -> QuerySet[Any]:
    table: Any = model._meta.get_field(relation).related_model  # noqa: SLF001 -- models import their querysets, not the reverse
    rows: QuerySet[Any] = table._default_manager.order_by("key")[:SHOWN_PER_RUN]  # noqa: SLF001 -- generic code
    return rows


class ArtifactQuerySet(GuardedQuerySet[M_co]):
    def below(self, folder: str) -> Self:
        """Keep the files in a folder and in its folders; "" is the run's top."""
        return self.filter(path__startswith=f"{folder}/") if folder else self.all()

    def unpinned(self) -> Self:
        """Keep what may go: nobody has pinned it, and nothing else, a model version above all, refers to its bytes."""
        rows = self.filter(is_pinned=False)
        for rows_of in handlers.known(but=HOLDER):
            rows = rows.exclude(Exists(rows_of().filter(sha256=OuterRef("sha256"))))
        return rows


class UploadQuerySet(GuardedQuerySet[M_co]):
    def open(self) -> Self:
        """Keep what may still go on."""
        return self.filter(completed_at=None, expires_at__gt=Now())

    def of(self, user: Any) -> Self:
        """Keep what this person has begun: nobody else is told of it."""
        return self.filter(created_by_id=user.pk)

    def run_out(self) -> Self:
        return self.filter(expires_at__lte=Now())


class LoggedModelQuerySet(GuardedQuerySet[M_co]):
    def live(self) -> Self:
        """Keep what has not been deleted, nor its run."""
        return self.filter(archived_at=None, run__archived_at=None)


class SavedViewQuerySet(GuardedQuerySet[M_co]):
    def offered_to(self, user: Any) -> Self:
        """Keep one's own and those that are shared, by name: an admin's menu holds no one else's."""
        return self.filter(Q(owner_id=user.pk) | Q(is_shared=True)).order_by("name", "pk")

    def with_details(self) -> Self:
        return self.select_related("owner", "project__owner", "project__team")
