"""Writes on saved views of run tables."""

from typing import Any
from urllib.parse import parse_qs

from django.db import IntegrityError, transaction

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, Taken
from apps.tracking.models import Project, SavedView
from apps.tracking.table.asked import Asked
from apps.tracking.table.columns import is_text

MOST_VIEWS = 100
LONGEST_NAME = 60
_LONGEST_QUERY = 4000
_MOST_FIELDS = 200


@transaction.atomic
def save_view(project: Project, name: str, query: str, *, by: Any, is_shared: bool = False) -> SavedView:
    """Keep what a project's run table was asked for. Shared, all who may see the project see it. Audited.

    Raises: NotAllowed, Invalid for an ill-formed name or a query that the table does not understand, Taken, Conflict for
    one too many.
    """
    policy.require_active(by, "savedview:create")
    policy.require(by, "edit" if is_shared else "view", project)
    view = SavedView(project=project, owner=by, is_shared=is_shared)
    view.name, view.query = _name(name), _query(query, project)
    if SavedView.objects.filter(project=project, owner_id=by.pk).count() >= MOST_VIEWS:
        msg = f"You keep {MOST_VIEWS} views of this project. Delete one first."
        raise Conflict(msg)
    _write(view)
    audit.record("create", view, by=by, project=str(project.pk), query=view.query, shared=is_shared)
    return view


@transaction.atomic
def update_view(view: SavedView, *, by: Any, **changes: Any) -> SavedView:
    """Change name, query or is_shared; to share needs the right to edit the project. Audited.

    Raises: NotAllowed, Invalid, Taken.
    """
    policy.require(by, "edit", view)
    if changes.get("is_shared") and not view.is_shared:
        policy.require(by, "edit", view.project)
    if "name" in changes:
        changes["name"] = _name(changes["name"])
    if "query" in changes:
        changes["query"] = _query(changes["query"], view.project)
    before = {name: getattr(view, name) for name in changes}
    for name, value in changes.items():
        setattr(view, name, value)
    _write(view)
    audit.record("update", view, by=by, before=before, after=changes)
    return view


@transaction.atomic
def delete_view(view: SavedView, *, by: Any) -> None:
    """Forget a view. Audited. Raises: NotAllowed."""
    policy.require(by, "delete", view)
    audit.record("delete", view, by=by, project=str(view.project_id), query=view.query)
    view.delete()


def _name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME or not is_text(name):
        raise Invalid(errors={"name": [f"Give it a name of at most {LONGEST_NAME} characters."]})
    return name


def _query(text: str, project: Project) -> str:
    """Return the query as the table writes it: what it does not understand is refused, what it does not know is dropped."""
    if len(text) > _LONGEST_QUERY:
        raise Invalid(errors={"query": ["It is too long."]})
    try:
        given = parse_qs(text.removeprefix("?"), max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise Invalid(errors={"query": ["Not the query of an address, or too many fields."]}) from error
    asked = Asked.read(given, project.pk)
    if asked.problems:
        told = [sentence for sentences in asked.problems.values() for sentence in sentences]
        raise Invalid(errors={"query": told})
    query = asked.query_string()
    if len(query) > _LONGEST_QUERY:
        raise Invalid(errors={"query": ["It is too long."]})
    return query


def _write(view: SavedView) -> None:
    try:
        with transaction.atomic():
            view.save()
    except IntegrityError as error:
        raise Taken(errors={"name": ["You have a view of this name."]}) from error
