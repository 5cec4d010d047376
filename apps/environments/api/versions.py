"""The versions of an environment, and their builds."""

from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.core.api import asked_for
from apps.core.errors import NotFound
from apps.environments import services
from apps.environments.api import documents, serializers
from apps.environments.api.finding import contents_of, the_environment, the_version
from apps.environments.models import EnvironmentBuild, EnvironmentVersion


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
