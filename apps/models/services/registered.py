"""Writes on registered models."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.access import policy
from apps.access.choices import Visibility
from apps.audit import services as audit
from apps.core.errors import Invalid, Taken
from apps.core.locks import lock_row
from apps.models.models import ModelTag, RegisteredModel
from apps.models.services.protection import require_nothing_protected
from apps.models.services.wording import checked_tags, checked_text
from apps.teams.models import Team
from apps.teams.services import require_open

_LONGEST_CARD = 200_000


@transaction.atomic
def create_model(
    name: str,
    *,
    by: Any,
    description: str = "",
    team: Team | None = None,
    visibility: str = "",
    tags: Mapping[str, str] | None = None,
) -> RegisteredModel:
    """Make a name to register versions under; in a team it is the team's. Audited.

    Raises: NotAllowed, Invalid for a taken or ill-formed name.
    """
    policy.require_active(by, "model:create")
    require_open(team)
    if team is not None:
        policy.require(by, "submit", team)
    chosen = visibility or (Visibility.TEAM if team else Visibility.PRIVATE)
    card = checked_text("description", description, _LONGEST_CARD)
    model = RegisteredModel(name=name.strip(), description=card, owner=by, team=team, visibility=chosen)
    _save(model)
    set_tags(model, checked_tags(tags or {}))
    audit.record("create", model, by=by)
    return model


@transaction.atomic
def update_model(model: RegisteredModel, *, by: Any, **changes: str) -> RegisteredModel:
    """Change name, description (the card) or visibility; the last needs the right to share. Audited.

    Raises: NotAllowed, Invalid.
    """
    policy.require(by, "edit", model)
    if "visibility" in changes:
        policy.require(by, "share", model)
    if "description" in changes:
        changes["description"] = checked_text("description", changes["description"], _LONGEST_CARD)
    told = {name: value for name, value in changes.items() if name != "description"}
    before = {name: getattr(model, name) for name in told}
    for name, value in changes.items():
        setattr(model, name, value)
    _save(model)
    RegisteredModel.objects.filter(pk=model.pk).update(updated_at=Now())
    audit.record("update", model, by=by, before=before, after=told, card="description" in changes)
    return model


@transaction.atomic
def archive_model(model: RegisteredModel, *, by: Any, reason: str = "") -> None:
    """Take a model and its versions out of sight; nothing is erased. Idempotent. Audited.

    Raises: NotAllowed, Conflict while something protected points to a version.
    """
    policy.require(by, "delete", model)
    lock_row(RegisteredModel.objects.filter(pk=model.pk))
    require_nothing_protected(model)
    if RegisteredModel.objects.filter(pk=model.pk, archived_at=None).update(archived_at=Now()):
        audit.record("archive", model, by=by, reason=reason)


@transaction.atomic
def tag_model(model: RegisteredModel, tags: Mapping[str, str], *, by: Any) -> None:
    """Set tags; the last value written wins. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", model)
    set_tags(model, checked_tags(tags))
    audit.record("tag", model, by=by, tags=dict(tags))


@transaction.atomic
def untag_model(model: RegisteredModel, key: str, *, by: Any) -> None:
    """Take a tag off. Idempotent. Audited. Raises: NotAllowed."""
    policy.require(by, "edit", model)
    if ModelTag.objects.filter(model=model, key=key).delete()[0]:
        audit.record("untag", model, by=by, key=key)


def find_model(reference: str, *, by: Any, action: str = "view") -> RegisteredModel:
    """Return the model that a person means by an id or a name: his own of that name, else the one he may see.

    Raises: Invalid when there is none, or more than one.
    """
    rows: QuerySet[RegisteredModel] = RegisteredModel.objects.visible_to(by, action).filter(archived_at=None)
    try:
        found = list(rows.filter(pk=UUID(reference)))
    except ValueError:
        named = rows.filter(name=reference)
        found = list(named.filter(owner_id=by.pk, team=None)) or list(named[:2])
    if len(found) != 1:
        said = "There is no such model, or you may not see it." if not found else "Several have this name; use the id."
        raise Invalid(errors={"model": [said]})
    return found[0]


def named_model(name: str, *, by: Any) -> RegisteredModel | None:
    """Return the model of that name that `by` most likely means: his own, else one he may register with, else one he sees.

    For clients that know names only; the oldest of several counts, so that it is the same each time.
    """
    for mine in RegisteredModel.objects.filter(owner_id=by.pk, team=None, name=name, archived_at=None)[:1]:
        return mine if policy.can(by, "view", mine) else None
    for action in ("register", "view"):
        rows: Any = RegisteredModel.objects.visible_to(by, action).filter(name=name, archived_at=None)
        if (found := rows.select_related("owner", "team").order_by("pk").first()) is not None:
            model: RegisteredModel = found
            return model
    return None


def make_room_for(rows: QuerySet[Any], heir: Any) -> QuerySet[Any]:
    """Rename personal models that are about to go to `heir`, where he has one of that name himself; return all."""
    names = RegisteredModel.objects.filter(owner=heir, team=None, archived_at=None).values("name")
    for model in rows.filter(team=None, archived_at=None, name__in=names).select_related("owner"):
        suffix = f" (of {str(model.owner)[:40]}, {str(model.pk)[:8]})"
        RegisteredModel.objects.filter(pk=model.pk).update(name=f"{model.name[: 250 - len(suffix)]}{suffix}")
    return rows


def set_tags(model: RegisteredModel, tags: Mapping[str, str]) -> None:
    rows = [ModelTag(model=model, key=key, value=value) for key, value in tags.items()]
    ModelTag.objects.bulk_create(rows, update_conflicts=True, unique_fields=["model", "key"], update_fields=["value"])


def _save(model: RegisteredModel) -> None:
    checked_text("name", model.name, 250)
    if "/" in model.name or ":" in model.name:
        raise Invalid(errors={"name": ["A name has no slash and no colon."]})
    try:
        model.full_clean(validate_unique=False, validate_constraints=False)
        with transaction.atomic():
            model.save()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    except IntegrityError as error:
        raise Taken(errors={"name": ["A model of this name exists."]}) from error
