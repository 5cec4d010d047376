from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedViewSet
from apps.access.history import HistoryMixin
from apps.core.api import asked_for
from apps.environments import services
from apps.environments.api import documents, serializers
from apps.environments.api.finding import contents_of, the_environment
from apps.environments.filters import narrow
from apps.environments.models import Environment
from apps.teams.services import find_team


class EnvironmentViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Environments."""

    model = Environment
    queryset = Environment.objects.none()
    serializer_class = serializers.EnvironmentSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "history": "view",
        "create": "create",
        "partial_update": "edit",
        "destroy": "delete",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @extend_schema(operation_id="environments_list", parameters=documents.FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the environments I may see, newest first."""
        rows = narrow(self.get_queryset(), request.query_params, request.user)
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(operation_id="environments_retrieve", parameters=[documents.ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="environments_create",
        request=serializers.NewEnvironmentSerializer,
        responses={201: serializers.EnvironmentSerializer},
        examples=[documents.NEW],
    )
    def create(self, request: Request) -> Response:
        """Make an environment with its first version, my own or a team's."""
        asked = asked_for(serializers.NewEnvironmentSerializer, request)
        team, contents = find_team(asked.pop("team"), by=request.user), contents_of(asked)
        made = services.create_environment(asked.pop("name"), contents, by=request.user, team=team, **asked)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="environments_update",
        parameters=[documents.ID],
        request=serializers.EnvironmentChangesSerializer,
        responses=serializers.EnvironmentSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change name, description or visibility. Versions never change."""
        environment = self.get_object()
        asked = asked_for(serializers.EnvironmentChangesSerializer, request)
        services.update_environment(environment, by=request.user, **asked)
        return Response(self.get_serializer(the_environment(request, id)).data)

    @extend_schema(
        operation_id="environments_destroy", parameters=[documents.ID, documents.REASON], responses={204: None}
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take an environment out of sight; what ran in it can be run again."""
        services.archive_environment(self.get_object(), by=request.user, reason=request.query_params.get("reason", ""))
        return Response(status=status.HTTP_204_NO_CONTENT)
