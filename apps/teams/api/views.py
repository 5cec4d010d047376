from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from typing_extensions import override

from apps.access.api import GuardedViewSet
from apps.access.history import HistoryMixin
from apps.teams.api.serializers import TeamSerializer
from apps.teams.models import Membership, Team


class TeamViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """My teams and who is in them."""

    model = Team
    queryset = Team.objects.none()
    serializer_class = TeamSerializer
    lookup_field = "slug"
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "history": "view"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        members = (
            Membership.objects.visible_to(self.request.user, "view").select_related("user").order_by("user__username")
        )
        return queryset.select_related("organization").prefetch_related(Prefetch("memberships", members))
