from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db.models import Model, QuerySet

if TYPE_CHECKING:
    from apps.access.principal import Principal

M_co = TypeVar("M_co", bound=Model, covariant=True)


class GuardedQuerySet(QuerySet[M_co]):
    """The queryset of every guarded model."""

    def visible_to(self, principal: "Principal | Any", action: str) -> Self:
        """Keep the rows on which `principal` may do `action`, by the declared policy."""
        from apps.access import policy  # noqa: PLC0415 -- models load before policies exist

        kept: Any = policy.visible(self, principal, action)
        return kept  # type: ignore[no-any-return]  # the class that was given

    def shared_with(self, principal: "Principal | Any") -> Self:
        """Keep the rows that were shared with `principal`, himself or through a group."""
        from apps.access import policy  # noqa: PLC0415 -- models load before policies exist

        kept: Any = policy.shared_with(self, principal)
        return kept  # type: ignore[no-any-return]  # the class that was given
