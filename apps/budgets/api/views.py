"""Budgets, prices, the ledger, costs and statements."""

from typing import Any, ClassVar

from django.conf import settings
from django.db.models import Prefetch, QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.budgets import costs, services
from apps.budgets.api import serializers
from apps.budgets.models import Alert, Budget, LedgerEntry, LedgerTx, Period, Price
from apps.budgets.places import find_place
from apps.budgets.statement import as_csv, as_document, statement
from apps.core.errors import Invalid

_ID = OpenApiParameter("id", OpenApiTypes.INT64, OpenApiParameter.PATH)
_RANGE = [
    OpenApiParameter("since", OpenApiTypes.DATE, description="By default the first of this month."),
    OpenApiParameter("until", OpenApiTypes.DATE, description="Not included; by default tomorrow."),
    OpenApiParameter("node", OpenApiTypes.INT64, description="`node_id` of a budget: what is at and below it."),
]


class BudgetViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Budgets of my own place, of my teams, and of the members of teams that I maintain."""

    model = Budget
    queryset = Budget.objects.none()
    serializer_class = serializers.BudgetSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage", "end": "manage",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        user = self.request.user
        periods = Period.objects.visible_to(user, "view").order_by("-starts_at")
        alerts = Alert.objects.visible_to(user, "view")
        return queryset.select_related("node").prefetch_related(
            Prefetch("periods", periods), Prefetch("periods__alerts", alerts)
        )

    @override
    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        ended = self.request.query_params.get("ended", "").lower() in {"1", "true", "yes"}
        return rows if ended or self.action != "list" else rows.filter(ended_at=None)

    @extend_schema(
        operation_id="budgets_list",
        parameters=[OpenApiParameter("ended", OpenApiTypes.BOOL, description="Those that were ended, too.")],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the budgets that I may see."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="budgets_retrieve", parameters=[_ID], responses=serializers.BudgetDetailSerializer)
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Show one with its periods and alerts."""
        return self._answer(self.get_object())

    @extend_schema(
        operation_id="budgets_create",
        request=serializers.NewBudgetSerializer,
        responses={201: serializers.BudgetDetailSerializer},
    )
    def create(self, request: Request) -> Response:
        """Give a place a budget. Admins only."""
        services.require_keeper(request.user)
        asked = _data(serializers.NewBudgetSerializer, request)
        node, name = find_place(asked.pop("place")), asked.pop("policy")
        made = services.create_budget(node, policy_name=name, by=request.user, **asked)
        return self._answer(made, status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="budgets_update",
        parameters=[_ID],
        request=serializers.BudgetChangesSerializer,
        responses=serializers.BudgetDetailSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change amount, policy or webhook, from the running period on. Admins only."""
        budget = self.get_object()
        asked = _data(serializers.BudgetChangesSerializer, request)
        changed = services.change_budget(budget, policy_name=asked.pop("policy", None), by=request.user, **asked)
        return self._answer(changed)

    @extend_schema(
        operation_id="budgets_end",
        parameters=[_ID],
        request=serializers.WhySerializer,
        responses=serializers.BudgetDetailSerializer,
    )
    @action(detail=True, methods=["post"])
    def end(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """End a budget: it limits nothing any more. Admins only."""
        budget = self.get_object()
        asked = _data(serializers.WhySerializer, request)
        return self._answer(services.end_budget(budget, reason=asked["reason"], by=request.user))

    def _answer(self, budget: Budget, code: int = status.HTTP_200_OK) -> Response:
        shown = self.shape(Budget.objects.visible_to(self.request.user, "view")).get(pk=budget.pk)
        return Response(serializers.BudgetDetailSerializer(shown).data, status=code)


class PriceViewSet(ListModelMixin, GuardedViewSet):
    """The price book: every version, the newest first."""

    model = Price
    queryset = Price.objects.none()
    serializer_class = serializers.PriceSerializer
    policy_actions: ClassVar = {"list": "view", "create": "manage"}

    @extend_schema(
        operation_id="prices_list",
        parameters=[OpenApiParameter("cluster", OpenApiTypes.STR, description="Exactly this name.")],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List prices."""
        return super().list(request, *args, **kwargs)

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        name = self.request.query_params.get("cluster", "").replace("\x00", "")
        return queryset.filter(cluster_name=name) if name else queryset

    @extend_schema(
        operation_id="prices_create",
        request=serializers.NewPriceSerializer,
        responses={201: serializers.PriceSerializer},
    )
    def create(self, request: Request) -> Response:
        """Set a price, from a date on, for what is admitted then. Admins only."""
        services.require_keeper(request.user)
        asked = _data(serializers.NewPriceSerializer, request)
        made = services.set_price_of(asked.pop("cluster"), by=request.user, **asked)
        return Response(serializers.PriceSerializer(made).data, status=status.HTTP_201_CREATED)


class LedgerViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Postings: what was held, charged, returned and reversed for work whose costs I see. Never changed."""

    model = LedgerTx
    queryset = LedgerTx.objects.none()
    serializer_class = serializers.PostingSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "reverse": "reverse"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        entries = LedgerEntry.objects.visible_to(self.request.user, "view").select_related("period")
        rows = queryset.select_related("hold").prefetch_related(Prefetch("entries", entries.order_by("pk")))
        key = self.request.query_params.get("key", "").replace("\x00", "")
        return rows.filter(hold__key=key) if key and self.action == "list" else rows

    @extend_schema(
        operation_id="ledger_list",
        parameters=[OpenApiParameter("key", OpenApiTypes.STR, description="Of one attempt, by its handle.")],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List postings, newest first."""
        return super().list(request, *args, **kwargs)

    @extend_schema(
        operation_id="ledger_reverse", request=serializers.WhySerializer, responses={201: serializers.PostingSerializer}
    )
    @action(detail=True, methods=["post"])
    def reverse(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Give back a charge, whole, with a reason. Admins only."""
        tx = self.get_object()
        asked = _data(serializers.WhySerializer, request)
        made = services.reverse(tx, reason=asked["reason"], by=request.user)
        return Response(serializers.PostingSerializer(made).data, status=status.HTTP_201_CREATED)


class CostsView(GuardedAPI):
    policy_actions: ClassVar = {"list": "ledger:view"}

    @extend_schema(
        operation_id="costs",
        parameters=[OpenApiParameter("group_by", OpenApiTypes.STR, enum=list(costs.GROUPS)), *_RANGE],
        responses=serializers.CostsSerializer,
    )
    def list(self, request: Request) -> Response:
        """Show who spent how much, as far as I may see it; by default by project, this month."""
        group_by = request.query_params.get("group_by") or "project"
        of = _scope(request)
        lines = costs.costs(of, group_by)
        facts = {"group_by": group_by, "since": of.since, "until": of.until, "currency": settings.CURRENCY}
        return Response(serializers.CostsSerializer({**facts, "lines": lines, "total": costs.total(lines)}).data)


class StatementView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": "ledger:view"}

    @override
    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        return super().perform_content_negotiation(request, force=True)  # `format` is ours to read

    @extend_schema(
        operation_id="statement",
        parameters=[*_RANGE, OpenApiParameter("format", OpenApiTypes.STR, enum=["json", "csv"])],
        responses={200: serializers.StatementSerializer, (200, "text/csv"): OpenApiTypes.BINARY},
    )
    def retrieve(self, request: Request) -> Response | StreamingHttpResponse:
        """Write a statement that equals the ledger: rounded lines, what rounding made of them, and the exact sum."""
        form = request.query_params.get("format") or "json"
        if form not in {"json", "csv"}:
            raise Invalid(errors={"format": ["json or csv."]})
        found = statement(_scope(request))
        if form == "json":
            return Response(serializers.StatementSerializer(as_document(found)).data)
        headers = {"Content-Disposition": 'attachment; filename="statement.csv"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(as_csv(found), content_type="text/csv; charset=utf-8", headers=headers)


def _scope(request: Request) -> costs.Scope:
    since, until = costs.between(request.query_params.get("since"), request.query_params.get("until"))
    text = request.query_params.get("node")
    if text and not (text.isascii() and text.isdigit() and len(text) < len(str(1 << 63))):
        raise Invalid(errors={"node": ["A number."]})
    return costs.scope(request.user, since=since, until=until, node=int(text) if text else None)


def _data(kind: type[Any], request: Request) -> dict[str, Any]:
    asked = kind(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)
