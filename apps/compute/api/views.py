from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import policy
from apps.access.api import GuardedViewSet
from apps.compute import priority_classes
from apps.compute.api.serializers import ClusterSerializer, PriorityClassChangesSerializer, PriorityClassSerializer
from apps.compute.models import Cluster, PriorityClass
from apps.core.api import CursorPage


class ClusterViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Where work can run, and how it is there."""

    model = Cluster
    queryset = Cluster.objects.none()
    serializer_class = ClusterSerializer
    lookup_field = "name"
    policy_actions: ClassVar = {"list": "view", "retrieve": "view"}


class RankPage(CursorPage):
    ordering: Any = ("-rank", "name")


class PriorityClassViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Ranks among everybody's work, the highest first, and who may use them."""

    model = PriorityClass
    queryset = PriorityClass.objects.none()
    serializer_class = PriorityClassSerializer
    pagination_class = RankPage
    lookup_field = "name"
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage", "destroy": "manage",
    }  # fmt: skip

    @extend_schema(
        operation_id="priority_classes_create",
        request=PriorityClassSerializer,
        responses={201: PriorityClassSerializer},
    )
    def create(self, request: Request) -> Response:
        """Make a class. Admins only."""
        policy.require_admin(cast("Any", request.user))
        asked = PriorityClassSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = priority_classes.save_priority_class(PriorityClass(**asked.validated_data), by=request.user)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="priority_classes_update",
        request=PriorityClassChangesSerializer,
        responses=PriorityClassSerializer,
    )
    def partial_update(self, request: Request, name: str) -> Response:
        """Change its rank, who may use it, or its description. What waits keeps its rank. Admins only."""
        del name
        chosen = self.get_object()
        asked = PriorityClassChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        for field, value in asked.validated_data.items():
            setattr(chosen, field, value)
        return Response(self.get_serializer(priority_classes.save_priority_class(chosen, by=request.user)).data)

    @extend_schema(operation_id="priority_classes_destroy", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        """Delete a class that nothing waits with. Admins only."""
        del name
        priority_classes.delete_priority_class(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)
