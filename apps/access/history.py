"""The history of one object, as an operation of its API view and as a page."""

from typing import Any, cast

from django.core.paginator import Page, Paginator
from django.db.models import Model
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import auditing
from apps.access.auditing import Entry
from apps.core.api import CursorPage

PER_PAGE = 50


class ChangeSerializer(serializers.Serializer[Any]):
    table = serializers.CharField()
    action = serializers.CharField()
    before = serializers.DictField()
    after = serializers.DictField()


class HistorySerializer(serializers.Serializer[Entry]):
    """One line of an object's history."""

    id = serializers.IntegerField(source="event.pk")
    at = serializers.DateTimeField(source="event.at")
    actor = serializers.CharField()
    on_behalf_of = serializers.CharField(source="event.on_behalf_of")
    origin = serializers.CharField(source="event.origin", help_text="The door.")
    action = serializers.CharField(source="event.action")
    outcome = serializers.CharField(source="event.outcome")
    reason = serializers.CharField(source="event.reason")
    details = serializers.DictField()
    changes = ChangeSerializer(many=True)
    token_id = serializers.UUIDField(allow_null=True, help_text="For auditors and admins.")
    ip = serializers.CharField(allow_null=True, help_text="For auditors and admins.")


class HistoryMixin:
    """Adds `…/<id>/history/` to a guarded view set, which names it in `policy_actions`."""

    @extend_schema(responses=HistorySerializer(many=True))
    @action(detail=True, url_path="history", pagination_class=CursorPage, filter_backends=[])
    def history(self, request: Request, **_names: Any) -> Response:
        """Tell who did what to it, newest first."""
        view = cast("Any", self)
        obj: Model = view.get_object()
        page = view.paginator.paginate_queryset(auditing.history_of(obj, by=request.user), request, view)
        lines: Any = auditing.entries(page, of=obj, by=request.user)
        answer: Response = view.paginator.get_paginated_response(HistorySerializer(lines, many=True).data)
        return answer


def lines_of(obj: Model, *, by: Any, page: str) -> tuple[list[Entry], Page[Any]]:
    """Return one page of an object's history, for `components/history.html`."""
    found = Paginator(auditing.history_of(obj, by=by), PER_PAGE).get_page(page)
    return auditing.entries(found, of=obj, by=by), found
