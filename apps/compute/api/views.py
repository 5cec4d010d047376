from typing import ClassVar

from rest_framework.mixins import ListModelMixin, RetrieveModelMixin

from apps.access.api import GuardedViewSet
from apps.compute.api.serializers import ClusterSerializer
from apps.compute.models import Cluster


class ClusterViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Where work can run, and how it is there."""

    model = Cluster
    queryset = Cluster.objects.none()
    serializer_class = ClusterSerializer
    lookup_field = "name"
    policy_actions: ClassVar = {"list": "view", "retrieve": "view"}
