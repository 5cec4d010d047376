"""Filtered lists that an operator keeps under a name."""

from typing import Any

from django.db import transaction
from django.db.models import Q

from apps.access import policy
from apps.access.decision import Role
from apps.access.models import SavedFilter
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid

MOST = 50
_LONGEST = 2000


@transaction.atomic
def save_filter(label: str, name: str, query: str, *, by: Any, shared: bool = False) -> SavedFilter:
    """Keep the filtered list of the model `label` under `name`; the same name again replaces it. Audited.

    `query` must be one that this list understood. Raises: NotAllowed, Invalid, Conflict for one too many.
    """
    policy.require_active(by, "savedfilter:create")
    if not by.is_staff:
        policy.require_admin(by)
    if shared:
        policy.require_admin(by)
    name = name.strip()
    if not 0 < len(name) <= SavedFilter.NAME_LENGTH or "\x00" in name:
        raise Invalid(errors={"name": [f"Give it a name of at most {SavedFilter.NAME_LENGTH} characters."]})
    if not query or len(query) > _LONGEST:
        raise Invalid(errors={"query": ["Choose a filter or a search first." if not query else "It is too long."]})
    kept = SavedFilter.objects.filter(owner_id=by.pk, label=label)
    if kept.exclude(name=name).count() >= MOST:
        msg = f"You keep {MOST} filters of this list. Delete one first."
        raise Conflict(msg)
    values = {"query": query, "is_shared": shared}
    saved, _ = SavedFilter.objects.update_or_create(owner_id=by.pk, label=label, name=name, defaults=values)
    audit.record("save", saved, by=by, list=label, query=query, shared=shared)
    return saved


@transaction.atomic
def delete_filter(saved: SavedFilter, *, by: Any) -> None:
    """Forget a saved filter: one's own, or as an admin anybody's. Audited. Raises: NotAllowed, NotFound."""
    policy.require(by, "edit", saved)
    audit.record("delete", saved, by=by, list=saved.label, query=saved.query)
    saved.delete()


def _rule(principal: Any, role: Role) -> Q:
    own = Q(owner_id=principal.pk)
    return own | Q(is_shared=True) if role is Role.VIEWER and principal.is_staff else own


def declare() -> None:
    """Everybody keeps his own; what is shared is read by all who may open the operators' admin."""
    policy.register(
        policy.Policy(
            SavedFilter,
            {"view": Role.VIEWER, "edit": Role.MANAGER, "create": Role.MANAGER},
            rule=_rule,
            is_personal=True,
        )
    )
