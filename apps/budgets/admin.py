"""Prices, budgets, what is held and the ledger, for operators."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Question, Reasoned, ShownOnce, question_filter
from apps.access.admin.display import NOTHING, document, duration, meter, page_of, related, time_of
from apps.access.admin.filters import is_null, one_of
from apps.access.admin.guarded import is_operator
from apps.budgets import costs, services
from apps.budgets.choices import BudgetPolicy, TxKind, in_money, with_currency
from apps.budgets.forms import BudgetForm, PriceForm
from apps.budgets.models import Alert, Budget, Delivery, Hold, LedgerEntry, LedgerTx, Period, Price
from apps.budgets.places import find_place
from apps.budgets.statement import as_csv, statement
from apps.core.errors import DomainError
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode

_DAY = timedelta(days=1)
_BUDGETS = question_filter(
    Budget,
    [
        Question("80", "Over 80 % spent", lambda rows: rows.past(80), "budgets over 80 %", "busy"),
        Question("100", "All spent", lambda rows: rows.past(100)),
        Question("ended", "Ended", lambda rows: rows.exclude(ended_at=None)),
    ],
)
_PRICES = question_filter(
    Price,
    [
        Question("coming", "Not in force yet", lambda rows: rows.filter(effective_from__gt=Now())),
        Question("month", "Set in the last 30 days", lambda rows: rows.filter(made_at__gt=Now() - 30 * _DAY)),
    ],
)
_POSTINGS = question_filter(
    LedgerTx,
    [
        Question("day", "In the last day", lambda rows: rows.filter(at__gt=Now() - _DAY)),
        Question("reversed", "Reversals", lambda rows: rows.filter(kind=TxKind.REVERSAL)),
        Question("borne", "Borne by the platform", lambda rows: rows.filter(kind=TxKind.ABSORB)),
    ],
)
_HELD = question_filter(
    Hold,
    [
        Question("now", "Held now", lambda rows: rows.filter(closed_at=None)),
        Question("borne", "Cost more than was held", lambda rows: rows.filter(absorbed_micros__gt=0)),
    ],
)
_DELIVERIES = question_filter(
    Delivery,
    [
        Question(
            "failing", "Failing", lambda rows: rows.filter(done_at=None, attempts__gt=0), "alerts not delivered", "bad"
        ),
        Question("given-up", "Given up", lambda rows: rows.filter(done_at=None, next_at=None)),
    ],
)


def money(field: str, words: str) -> Any:
    """Make an admin column of an amount."""

    @display(description=words)
    def column(_page: Any, row: Any) -> str:
        return in_money(getattr(row, field))

    column.__name__ = f"{field}_shown"
    return column


@admin.register(Price)
class PriceAdmin(GuardedAdmin):
    """The price book. A new price is a new row, from a date on; what was admitted before keeps its own."""

    can_add = True
    form = PriceForm
    list_display = ("cluster_name", "resource", "price_shown", "since", "version", "made_by", "reason")
    list_filter = (_PRICES, "resource")
    search_fields = ("cluster_name",)
    search_help_text = "Cluster"
    ordering = ("cluster_name", "resource", "-version")
    fields = ("cluster_name", "resource", "price_shown", "since", "version", "made_by", "reason")
    since = time_of("effective_from", "from")

    @override
    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return PriceForm.Meta.fields if obj is None else self.fields

    @override
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(
                request, obj, change, **{**kwargs, "form": type("Nothing", (PriceForm,), {}), "fields": []}
            )
        form = super().get_form(request, obj, change, **{**kwargs, "fields": ["effective_from"]})
        form.base_fields["cluster"].choices = [(node.key, node.name) for node in _clusters(request)]
        return form

    @override
    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        data = form.cleaned_data
        made = services.set_price_of(
            data["cluster"],
            resource=data["resource"],
            micros_per_hour=data["price"],
            effective_from=data.get("effective_from"),
            reason=data["reason"],
            by=request.user,
        )
        obj.__dict__.update(made.__dict__)

    @display(description="per hour")
    def price_shown(self, price: Price) -> str:
        return in_money(price.micros_per_hour, exact=True)


def _clusters(request: HttpRequest) -> Any:
    return QuotaNode.objects.visible_to(request.user, "view").filter(kind=NodeKind.CLUSTER).order_by("name")


class PeriodInline(LatestInline):
    model = Period
    fields = ("starts_at", "ends_at", "amount", "held", "spent", "lapsed")
    ordering = ("-starts_at",)
    show_change_link = False
    amount = money("amount_micros", "amount")
    held = money("held_micros", "held")
    spent = money("spent_micros", "spent")
    lapsed = money("lapsed_micros", "lapsed")


@admin.register(Budget)
class BudgetAdmin(GuardedAdmin):
    """How much a place may spend in each period, and what follows."""

    can_add = True
    can_change = True
    policy_change = "manage"
    form = BudgetForm
    change_list_template = "admin/budgets/budget/change_list.html"
    list_display = ("__str__", "policy", "spent", "amount_shown", "ended")
    list_filter = (
        _BUDGETS,
        one_of("policy", BudgetPolicy.choices),
        is_null("ended_at", yes="Live", no="Ended", title="state"),
    )
    list_select_related = ("node",)
    search_fields = ("node__name",)
    search_help_text = "Person, team or organization"
    ordering = ("node__path", "id")
    fields = ("node_shown", "cadence_shown", "policy", "spent", "webhook_url", "ended")
    readonly_fields = ("node_shown", "cadence_shown", "spent", "ended")
    inlines = (PeriodInline,)
    node_shown = related("node", "whose")
    amount_shown = money("amount_micros", "amount")
    ended = time_of("ended_at", "ended")
    actions = (
        Reasoned(
            "end_budget",
            services.end_budget,
            label="End",
            effect="It limits nothing any more. What it holds is still charged to it.",
            done="ended",
            applies=lambda budget: budget.ended_at is None,
        ),
        ShownOnce(
            "show_signing_key",
            services.reveal_signing_key,
            label="Show the signing key",
            effect="The key with which its webhook is signed stands in the answer.",
            done="shown",
            applies=lambda budget: bool(budget.webhook_url),
        ),
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        periods = Period.objects.visible_to(request.user, "view").order_by("-starts_at")
        return super().get_queryset(request).prefetch_related(Prefetch("periods", periods))

    @override
    def get_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        if obj is None:
            return BudgetForm.Meta.fields
        if not self.has_change_permission(request, obj):
            return self.fields
        return ("node_shown", "cadence_shown", "spent", "ended", "policy", "amount", "webhook_url", "reason")

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Budget | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    @override
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        own = ["webhook_url"] if obj else ["starts_at", "ends_at", "webhook_url"]
        return super().get_form(request, obj, change, **{**kwargs, "fields": own})

    @override
    def get_inlines(self, request: HttpRequest, obj: Budget | None) -> Any:
        return self.inlines if obj else ()

    @override
    def save_model(self, request: HttpRequest, obj: Budget, form: Any, change: bool) -> None:
        data = form.cleaned_data
        common = {"policy_name": data["policy"], "amount_micros": data["amount"], "webhook_url": data["webhook_url"]}
        if change:
            made = services.change_budget(obj, **common, by=request.user, reason=data["reason"])
        else:
            dates = {"starts_at": data["starts_at"], "ends_at": data["ends_at"]}
            node = find_place(data["place"])
            more = {**common, **dates, "cadence": data["cadence"], "reason": data["reason"]}
            made = services.create_budget(node, by=request.user, **more)
        obj.__dict__.update(made.__dict__)

    @override
    def get_urls(self) -> list[Any]:
        view: Any = self.admin_site.admin_view(self.statement_view)
        view.model_admin = self
        return [path("statement/", view, name="budgets_statement"), *super().get_urls()]

    def statement_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send the statement of this month, or between `since` and `until`, of all or of one `node`."""
        if not is_operator(request):
            raise PermissionDenied
        text = request.GET.get("node", "")
        node = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(1 << 63)) else None
        try:
            since, until = costs.between(request.GET.get("since"), request.GET.get("until"))
            found = statement(costs.scope(request.user, since=since, until=until, node=node))
        except DomainError as error:
            raise Http404 from error
        headers = {"Content-Disposition": 'attachment; filename="statement.csv"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(as_csv(found), content_type="text/csv; charset=utf-8", headers=headers)

    @display(description="how often")
    def cadence_shown(self, budget: Budget) -> str:
        return str(budget.get_cadence_display())

    @display(description="spent in the newest period")
    def spent(self, budget: Budget) -> SafeString:
        newest = next(iter(budget.periods.all()), None)
        if newest is None:
            return NOTHING
        words = f"{in_money(newest.spent_micros)} / {with_currency(newest.amount_micros)}"
        return meter(newest.spent_micros, newest.amount_micros, words)


@admin.register(Hold)
class HoldAdmin(GuardedAdmin):
    """What each attempt costs per hour, and was charged: written by admission and the charges alone."""

    list_display = ("key", "whose", "rate", "charged", "ran", "made", "closed")
    list_filter = (_HELD, is_null("closed_at", yes="Open", no="Closed", title="state"))
    list_select_related = ("node",)
    search_fields = ("=key", "=subject", "node__name")
    search_help_text = "Attempt's handle, run, or whose"
    ordering = ("-id",)
    fields = ("key", "whose", "subject", "rate", "prices_shown", "charged", "borne", "ran", "made", "closed")
    whose = related("node", "whose")
    made = time_of("made_at", "since")
    closed = time_of("closed_at", "closed")
    rate = money("rate_micros_per_hour", "per hour")
    charged = money("posted_micros", "charged")
    borne = money("absorbed_micros", "borne by the platform")

    @display(description="ran")
    def ran(self, hold: Hold) -> str:
        return duration(hold.billable_ms / 1000)

    @display(description="prices")
    def prices_shown(self, hold: Hold) -> SafeString:
        return document({name: in_money(micros, exact=True) for name, (micros, _) in hold.prices.items()})


class EntryInline(LatestInline):
    model = LedgerEntry
    fields = ("account", "amount", "period_id", "node_id", "cluster_id")
    ordering = ("id",)
    show_change_link = False
    amount = money("amount_micros", "amount")


@admin.register(LedgerTx)
class LedgerTxAdmin(GuardedAdmin):
    """The ledger. The database itself refuses changes; a charge that was wrong is reversed."""

    list_display = ("moment", "kind", "of", "cost", "by", "reason")
    list_display_links = ("moment",)
    list_filter = (_POSTINGS, one_of("kind", TxKind.choices))
    list_select_related = ("hold",)
    search_fields = ("=idem", "=hold__key", "=hold__subject")
    search_help_text = "Attempt's handle, run, or a pasted id"
    ordering = ("-id",)
    fields = ("id", "kind", "moment", "of", "idem", "cost", "reverses", "by", "reason")
    inlines = (EntryInline,)
    moment = time_of("at", "when")
    actions = (
        Reasoned(
            "reverse",
            services.reverse,
            label="Reverse",
            effect="The charge is given back to the place and to every budget it was charged to. It is not charged again.",
            done="reversed",
            applies=lambda tx: tx.kind == TxKind.CHARGE,
        ),
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        entries = LedgerEntry.objects.visible_to(request.user, "view")
        return super().get_queryset(request).prefetch_related(Prefetch("entries", entries))

    @display(description="of")
    def of(self, tx: LedgerTx) -> SafeString:
        return page_of(tx.hold)

    @display(description="cost")
    def cost(self, tx: LedgerTx) -> str:
        return in_money(sum(entry.amount_micros for entry in tx.entries.all() if entry.account == "cost"), exact=True)


@admin.register(Delivery)
class DeliveryAdmin(GuardedAdmin):
    """Alerts on their way."""

    list_display = ("alert_shown", "channel", "target", "attempts", "done", "next_try", "error")
    list_filter = (_DELIVERIES, "channel")
    list_select_related = ("alert",)
    search_fields = ("target",)
    ordering = ("-id",)
    fields = ("alert_shown", "channel", "target", "attempts", "done", "next_try", "error")
    done = time_of("done_at", "delivered")
    next_try = time_of("next_at", "next try")

    @display(description="alert")
    def alert_shown(self, delivery: Delivery) -> str:
        alert: Alert = delivery.alert
        return alert.message
