"""What can be shared: every model whose policy declares the action "share". Its columns, or those it is judged through,
say to whom it belongs.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet

from apps.access import policy
from apps.access.policy import Policy
from apps.core.errors import NotFound

SHARE = "share"


@dataclass(frozen=True, slots=True)
class Kind:
    """`name` is what people write: "run", "experiment", "project"."""

    name: str
    policy: Policy

    @property
    def model(self) -> Any:
        return self.policy.model

    @property
    def label(self) -> str:
        return str(self.model._meta.verbose_name)  # noqa: SLF001 -- documented Django API

    def rows(self) -> Any:
        """Return what has not been deleted, with what a judgement reads."""
        rows = self.model._default_manager.all()  # noqa: SLF001 -- generic code
        live = rows.live() if hasattr(rows, "live") else rows
        prefix = f"{self.policy.via}__" if self.policy.via else ""
        return live.select_related(f"{prefix}owner", f"{prefix}team__organization")

    def shareable_by(self, principal: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = policy.holding(self.model._default_manager.all(), principal, self.policy.minimum(SHARE))  # noqa: SLF001 -- generic code
        live: Any = getattr(rows, "live", None)
        return live() if live is not None else rows


def kinds() -> dict[str, Kind]:
    """Return what can be shared, by name, from the registered policies."""
    return {
        str(one.model._meta.model_name): Kind(str(one.model._meta.model_name), one)  # noqa: SLF001 -- documented Django API
        for one in policy.registered()
        if SHARE in one.actions
    }


def owned_kinds() -> list[Kind]:
    """Return those that have grants of their own; the others are the same object under another name."""
    return [kind for kind in kinds().values() if not kind.policy.via]


def other_names(name: str) -> list[str]:
    """Return the kinds that are judged through this one: an experiment is its run."""
    return [kind.name for kind in kinds().values() if kind.policy.via == name]


def kind_named(name: str) -> Kind:
    """Raises: NotFound for a word that is no kind."""
    try:
        return kinds()[name]
    except KeyError:
        raise NotFound from None


def kind_of(obj: Model) -> Kind:
    """Raises: LookupError when objects like this cannot be shared, which is a bug."""
    return kinds()[str(obj._meta.model_name)]  # noqa: SLF001 -- documented Django API


def owned_kind_of(obj: Model) -> Kind:
    """Return the kind under which the object's requests are kept: a run's, for its experiment."""
    return kind_of(policy.owned(obj))


def find(name: str, pk: UUID | str, *, by: Any) -> Any:
    """Return the object that `by` may view. Raises: NotFound, the same for what is hidden, deleted or was never."""
    kind = kind_named(name)
    try:
        return policy.visible(kind.rows(), by, "view").get(pk=pk)
    except (ObjectDoesNotExist, ValidationError, ValueError):
        raise NotFound from None


def find_any(name: str, pk: UUID | str) -> Any:
    """Return the object whoever asks, or None: for services that judge themselves."""
    try:
        return kind_named(name).rows().filter(pk=pk).first()
    except (ValidationError, ValueError):
        return None
