from typing import Any, ClassVar, cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedViewSet
from apps.core.errors import Invalid
from apps.tracking import services
from apps.tracking.api import documents, serializers
from apps.tracking.models import Project, SavedView


class SavedViewViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Saved views of run tables: my own, and those that are shared in projects I may see."""

    model = SavedView
    queryset = SavedView.objects.none()
    serializer_class = serializers.SavedViewSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "create": "create",
        "partial_update": "edit",
        "destroy": "delete",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.with_details().filter(project__archived_at=None)
        return shaped

    @extend_schema(operation_id="saved_views_list", parameters=documents.VIEW_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the views I may see, newest first."""
        rows = self.get_queryset()
        if text := request.query_params.get("project", ""):
            rows = rows.filter(project=_uuid(text))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="saved_views_retrieve", parameters=[documents.VIEW_ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="saved_views_create",
        request=serializers.NewSavedViewSerializer,
        responses={201: serializers.SavedViewSerializer},
    )
    def create(self, request: Request) -> Response:
        """Keep what a project's run table is asked for."""
        policy.require_active(cast("Any", request.user), "savedview:create")
        asked = serializers.NewSavedViewSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        projects: Any = Project.objects.visible_to(cast("Any", request.user), "view")
        project = projects.live().filter(pk=data.pop("project")).first()
        if project is None:
            raise Invalid(errors={"project": ["There is no such project, or you may not see it."]})
        view = services.save_view(project, data["name"], data["query"], by=request.user, is_shared=data["is_shared"])
        view.refresh_from_db()
        return Response(self.get_serializer(view).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="saved_views_update",
        parameters=[documents.VIEW_ID],
        request=serializers.SavedViewChangesSerializer,
        responses=serializers.SavedViewSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change a view's name, query, or whether it is shared."""
        view = self.get_object()
        asked = serializers.SavedViewChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.update_view(view, by=request.user, **asked.validated_data)
        return Response(self.get_serializer(view).data)

    @extend_schema(operation_id="saved_views_destroy", parameters=[documents.VIEW_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Forget a view."""
        services.delete_view(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(errors={"project": ["Expected a UUID."]}) from None
