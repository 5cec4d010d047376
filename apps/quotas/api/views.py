from collections.abc import Sequence
from typing import Any, ClassVar, cast

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.core.api import CursorPage
from apps.core.errors import Conflict, Invalid, NotFound
from apps.quotas import services
from apps.quotas.api import serializers
from apps.quotas.api.amounts import all_amounts, one_amount
from apps.quotas.choices import BUILT_IN, Known, NodeKind, RequestState
from apps.quotas.models import AllocationRequest, QuotaNode, Resource

_KEY_ID = 18  # digits; more is no id of a node
_YES = {"1", "true", "yes"}
_NAME = OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH)


def find_node(text: str, *, by: Any, field: str = "node") -> QuotaNode:
    """Return the place of that key or id which `by` may see. Raises: Invalid, whether it is hidden or nowhere."""
    rows = QuotaNode.objects.visible_to(by, "view")
    is_id = text.isascii() and text.isdigit() and len(text) <= _KEY_ID
    found = rows.filter(pk=int(text)).first() if is_id else rows.filter(key=text).first()
    if found is None:
        raise Invalid(errors={field: ["There is no such place, or you may not see it."]})
    return found


def data_of(kind: Any, request: Request) -> dict[str, Any]:
    """Check the body by a serializer; return what it holds. Raises: ValidationError."""
    asked = kind(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


class TopDownPage(CursorPage):
    ordering: Any = ("depth", "name", "pk")


class QuotaViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """The places of the quota tree that I may see: my teams and myself; what my teams hand out; for operators, all."""

    model = QuotaNode
    queryset = QuotaNode.objects.none()
    serializer_class = serializers.QuotaNodeSerializer
    pagination_class = TopDownPage
    lookup_value_regex = r"[0-9]{1,18}"
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "partial_update": "manage"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.prefetch_related("limits")

    @extend_schema(
        operation_id="quotas_list",
        parameters=[
            OpenApiParameter("kind", OpenApiTypes.STR, enum=NodeKind.values),
            OpenApiParameter("key", OpenApiTypes.STR, description="Exactly that place."),
            OpenApiParameter("q", OpenApiTypes.STR, description="Part of the name."),
        ],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the places I may see, from the top."""
        query = request.query_params
        asked = {"kind": query.get("kind"), "key": query.get("key"), "name__icontains": query.get("q")}
        rows = self.get_queryset().filter(**{name: _text(value) for name, value in asked.items() if value})
        return self.get_paginated_response(self._shown(self.paginate_queryset(rows) or []))

    @extend_schema(operation_id="quotas_retrieve")
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one place, with what it may hold, holds, and has free."""
        return Response(self._shown([self.get_object()])[0])

    @extend_schema(
        operation_id="quotas_update",
        request=serializers.LimitChangesSerializer,
        responses=serializers.QuotaNodeSerializer,
    )
    def partial_update(self, request: Request, pk: str) -> Response:
        """Set limits, what may be borrowed, or the weight. For admins; for maintainers, what their team hands out."""
        node = self.get_object()
        asked = data_of(serializers.LimitChangesSerializer, request)
        amounts = all_amounts({field: asked[field] for field in ("limits", "borrow")}, node)
        borrow = cast("dict[str, int]", amounts["borrow"])
        with transaction.atomic():
            services.change_limits(node, amounts["limits"], borrow, by=request.user, reason=asked["reason"])
            if "weight" in asked:
                services.set_weight(node, asked["weight"], by=request.user, reason=asked["reason"])
        return Response(self._shown([self.get_object()])[0])

    def _shown(self, nodes: Sequence[Any]) -> Any:
        names = QuotaNode.objects.filter(pk__in={pk for node in nodes for pk in node.path})
        known = dict(names.values_list("pk", "name"))
        context = {**self.get_serializer_context(), "names": known, "resources": Resource.objects.names()}
        return serializers.QuotaNodeSerializer(cast("Any", nodes), many=True, context=context).data


def _text(value: str) -> str:
    return value.replace("\x00", "")


class AllocationRequestViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Requests that a place may hold more: those I made, those of my teams, and those I can decide."""

    model = AllocationRequest
    queryset = AllocationRequest.objects.none()
    serializer_class = serializers.AllocationRequestSerializer
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "view", "approve": "decide", "refuse": "decide",
        "withdraw": "withdraw",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.select_related("node", "asked_by", "decided_by")

    @extend_schema(
        operation_id="allocation_requests_list",
        parameters=[
            OpenApiParameter("mine", bool, description="Only those I made."),
            OpenApiParameter("to_decide", bool, description="Only open ones of others that I can decide."),
            OpenApiParameter("state", str, enum=RequestState.values),
        ],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the requests I may see, newest first."""
        query, rows = request.query_params, self.get_queryset()
        if query.get("mine", "").lower() in _YES:
            rows = rows.filter(asked_by_id=request.user.pk)
        if query.get("to_decide", "").lower() in _YES:
            can = AllocationRequest.objects.visible_to(request.user, "decide").values("pk")
            rows = rows.filter(pk__in=can, state=RequestState.OPEN).exclude(asked_by_id=request.user.pk)
        if state := query.get("state", ""):
            if state not in RequestState.values:
                raise Invalid(errors={"state": [f"One of {serializers.STATES}."]})
            rows = rows.filter(state=state)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="allocation_requests_create",
        request=serializers.NewAllocationSerializer,
        responses={201: serializers.AllocationRequestSerializer},
    )
    def create(self, request: Request) -> Response:
        """Ask that a place may hold more, until a time or for good."""
        asked = data_of(serializers.NewAllocationSerializer, request)
        node = find_node(asked["node"], by=request.user)
        made = services.request_allocation(
            node,
            asked["resource"],
            one_amount(asked["resource"], asked["amount"]),
            by=request.user,
            reason=asked["reason"],
            until=asked["until"],
        )
        return self._shown(made, status.HTTP_201_CREATED)

    @extend_schema(operation_id="allocation_requests_approve", request=serializers.AllocationApprovalSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Give what was asked for, or `amount`, at once. Nobody approves his own."""
        found = self.get_object()
        asked = data_of(serializers.AllocationApprovalSerializer, request)
        amount = None if asked["amount"] is None else one_amount(found.resource, asked["amount"])
        done = services.approve_allocation(
            found, by=request.user, amount=amount, until=asked["until"], note=asked["note"]
        )
        return self._shown(done)

    @extend_schema(operation_id="allocation_requests_refuse", request=serializers.AllocationRefusalSerializer)
    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, pk: str) -> Response:
        """Say no, and why."""
        found = self.get_object()
        note = data_of(serializers.AllocationRefusalSerializer, request)["note"]
        return self._shown(services.refuse_allocation(found, by=request.user, note=note))

    @extend_schema(operation_id="allocation_requests_withdraw", request=None)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take back what I asked for."""
        return self._shown(services.withdraw_allocation(self.get_object(), by=request.user))

    def _shown(self, row: AllocationRequest, code: int = status.HTTP_200_OK) -> Response:
        return Response(self.get_serializer(row).data, status=code)


class ResourceView(GuardedAPI):
    """What can be limited: what is built in, and what admins added."""

    policy_actions: ClassVar = {
        "list": "", "create": "resource:manage", "partial_update": "resource:manage", "destroy": "resource:manage",
    }  # fmt: skip

    @extend_schema(operation_id="resources_list", responses=serializers.ResourceSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List what can be limited, in the order in which it is shown."""
        return Response([_shown_resource(one) for one in Resource.objects.known()])

    @extend_schema(
        operation_id="resources_create",
        request=serializers.NewResourceSerializer,
        responses={201: serializers.ResourceSerializer},
    )
    def create(self, request: Request) -> Response:
        """Add what can be limited. Admins only."""
        policy.require_admin(cast("Any", request.user))
        asked = data_of(serializers.NewResourceSerializer, request)
        if Resource.objects.filter(name=asked["name"]).exists():
            msg = f"There is {asked['name']} already."
            raise Conflict(msg)
        made = services.save_resource(Resource(**asked), by=request.user)
        return Response(_shown_resource(made), status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="resources_update",
        parameters=[_NAME],
        request=serializers.ResourceChangesSerializer,
        responses=serializers.ResourceSerializer,
    )
    def partial_update(self, request: Request, name: str) -> Response:
        """Change the title, place or weight, also of what is built in. Admins only."""
        policy.require_admin(cast("Any", request.user))
        row = _find(name) or _built_in(name)
        for field, value in data_of(serializers.ResourceChangesSerializer, request).items():
            setattr(row, field, value)
        return Response(_shown_resource(services.save_resource(row, by=request.user)))

    @extend_schema(operation_id="resources_destroy", parameters=[_NAME], responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        """Delete what nobody uses; what is built in is as it was built in again. Admins only."""
        policy.require_admin(cast("Any", request.user))
        row = _find(name)
        if row is None:
            raise NotFound
        services.delete_resource(row, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(name: str) -> Resource | None:
    return Resource.objects.filter(name=_text(name)).first()


def _built_in(name: str) -> Resource:
    known = next((one for one in BUILT_IN if one.name == name), None)
    if known is None:
        raise NotFound
    return Resource(name=known.name, title=known.title, position=known.position, weight=known.weight)


def _shown_resource(one: Known | Resource) -> dict[str, Any]:
    built_in = one.name in {known.name for known in BUILT_IN}
    facts = {"name": one.name, "title": one.title, "position": one.position, "weight": one.weight}
    return {**facts, "built_in": built_in}
