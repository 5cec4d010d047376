from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.directory import services
from apps.directory.api.serializers import (
    PlanSerializer,
    RuleChangesSerializer,
    RuleSerializer,
    SyncOptionsSerializer,
    SyncSerializer,
)
from apps.directory.models import DirectoryRule, DirectorySync


class OperatorsOnly(GuardedViewSet):
    """Nobody but admins and auditors has business here, and that there are such pages is no secret: 403, not 404."""

    @override
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        services.require_reader(request.user)


class RuleViewSet(RetrieveModelMixin, ListModelMixin, OperatorsOnly):
    model = DirectoryRule
    queryset = DirectoryRule.objects.none()
    serializer_class = RuleSerializer
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage", "destroy": "manage",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.select_related("team")

    @extend_schema(
        operation_id="directory_rules_create", request=RuleChangesSerializer, responses={201: RuleSerializer}
    )
    def create(self, request: Request) -> Response:
        """Make a rule. It counts from the next sync or login on."""
        rule = services.save_rule(self._changed(request, DirectoryRule()), by=request.user)
        return Response(RuleSerializer(rule).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="directory_rules_update", request=RuleChangesSerializer, responses=RuleSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change what is given."""
        rule = services.save_rule(self._changed(request, self.get_object()), by=request.user)
        return Response(RuleSerializer(rule).data)

    @extend_schema(operation_id="directory_rules_destroy", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Delete a rule. The next sync takes back what only it gave."""
        services.delete_rule(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _changed(self, request: Request, rule: DirectoryRule) -> DirectoryRule:
        asked = RuleChangesSerializer(data=request.data, context=self.get_serializer_context())
        asked.is_valid(raise_exception=True)
        return asked.apply(rule)


class PreviewView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": "directorysync:view"}

    @extend_schema(operation_id="directory_preview", responses=PlanSerializer)
    def retrieve(self, request: Request) -> Response:
        """Say what a sync would change now, person by person, and change nothing."""
        return Response(PlanSerializer(services.preview(by=request.user)).data)


class SyncViewSet(RetrieveModelMixin, ListModelMixin, OperatorsOnly):
    model = DirectorySync
    queryset = DirectorySync.objects.none()
    serializer_class = SyncSerializer
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "create": "run"}

    @override
    def _wants_record(self, request: Any) -> bool:
        return False  # another server is asked meanwhile, for which no transaction waits; and twice is as good as once

    @extend_schema(operation_id="directory_sync", request=SyncOptionsSerializer, responses={201: SyncSerializer})
    def create(self, request: Request) -> Response:
        """Compare with the directory now and do what the comparison says. The outcome stands in the answer."""
        asked = SyncOptionsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        done = services.sync(by=request.user, **asked.validated_data)
        return Response(SyncSerializer(done).data, status=status.HTTP_201_CREATED)
