from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.core.errors import NotFound
from apps.environments import services
from apps.environments.api import documents, serializers
from apps.environments.api.finding import asked_for, contents_of, the_environment, the_team, the_version
from apps.environments.filters import narrow
from apps.environments.models import Environment, EnvironmentBuild, EnvironmentVersion


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
        team, contents = the_team(asked.pop("team"), request.user), contents_of(asked)
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


class EnvironmentVersionViewSet(ListModelMixin, GuardedViewSet):
    """The versions of one environment."""

    model = EnvironmentVersion
    queryset = EnvironmentVersion.objects.none()
    serializer_class = serializers.EnvironmentVersionSerializer
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "create": "edit"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @override
    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = EnvironmentVersion.objects.visible_to(cast("Any", self.request.user), "view")
        return self.shape(rows.filter(environment=the_environment(self.request, self.kwargs["id"])))

    @extend_schema(operation_id="environments_versions_list", parameters=[documents.ID])
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the versions of an environment, newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="environments_versions_retrieve", parameters=[documents.ID, documents.NUMBER])
    def retrieve(self, request: Request, id: str, number: str) -> Response:  # noqa: A002 -- the name in the URL
        """Show a version, and where it has been built."""
        return self._shown(the_version(the_environment(request, id), number), status.HTTP_200_OK)

    @extend_schema(
        operation_id="environments_versions_create",
        parameters=[documents.ID],
        request=serializers.NewEnvironmentVersionSerializer,
        responses={201: serializers.EnvironmentVersionSerializer},
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Make the next version; those that are there stay as they are."""
        environment = the_environment(request, id, "edit")
        contents = contents_of(asked_for(serializers.NewEnvironmentVersionSerializer, request))
        return self._shown(services.create_version(environment, contents, by=request.user), status.HTTP_201_CREATED)

    def _shown(self, version: EnvironmentVersion, code: int) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=version.pk)).data, status=code)


class BuildsAPI(GuardedAPI):
    """The builds of one version: one for each cluster."""

    policy_actions: ClassVar = {"create": "environment:build", "retrieve": "environment:view"}

    @extend_schema(
        operation_id="environments_build",
        parameters=[documents.ID, documents.NUMBER],
        request=serializers.NewBuildSerializer,
        responses={202: serializers.BuildSerializer},
    )
    def create(self, request: Request, id: str, number: str) -> Response:  # noqa: A002 -- the name in the URL
        """Have a version built, or built again where that failed. Answers at once: the build goes on."""
        version = the_version(the_environment(request, id), number)
        cluster = asked_for(serializers.NewBuildSerializer, request)["cluster"]
        build = services.request_build(version, by=request.user, cluster=cluster)
        build.refresh_from_db()
        return Response(serializers.BuildSerializer(build).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        operation_id="environments_build_retrieve",
        parameters=[documents.ID, documents.NUMBER, documents.CLUSTER],
        responses=serializers.BuildLogSerializer,
    )
    def retrieve(self, request: Request, id: str, number: str, cluster: str) -> Response:  # noqa: A002 -- as above
        """Show how a build goes, what its tools said, and the lock."""
        version = the_version(the_environment(request, id), number)
        rows = EnvironmentBuild.objects.visible_to(cast("Any", request.user), "view").select_related("cluster", "lock")
        found = rows.filter(version=version, cluster__name=cluster.replace("\x00", "")).first()
        if found is None:
            raise NotFound
        return Response(serializers.BuildLogSerializer(found).data)
