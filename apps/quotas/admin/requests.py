"""Requests for more quota: who waits for an answer, and the two answers."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.access.admin import GuardedAdmin, Panel, Question, Reasoned, ReasonForm, panel, question_filter
from apps.access.admin.display import NOTHING, chip, exactly, list_url, page_of, related, time_of, when
from apps.access.admin.panels import ROWS
from apps.quotas import services
from apps.quotas.choices import RequestState, in_units, words
from apps.quotas.forms import parse_amount, write_amount
from apps.quotas.models import AllocationRequest, QuotaLimit

_LONG, _SOON = timedelta(days=2), timedelta(days=7)
_LOOKS = {
    RequestState.OPEN: "queued",
    RequestState.APPROVED: "ok",
    RequestState.REFUSED: "disabled",
    RequestState.WITHDRAWN: "disabled",
    RequestState.EXPIRED: "expired",
}
_open = Q(state=RequestState.OPEN)
_QUESTIONS = question_filter(
    AllocationRequest,
    [
        Question("open", "Open", lambda rows: rows.filter(_open), "requests for quota open", "busy"),
        Question("long", "Open for two days or longer", lambda rows: rows.filter(_open, created_at__lt=Now() - _LONG)),
        Question(
            "expiring",
            "Given, and over within a week",
            lambda rows: rows.filter(state=RequestState.APPROVED, until__lt=Now() + _SOON),
        ),
    ],
)


class ApproveForm(ReasonForm):
    """How much of it and until when, if not as asked for."""

    amount = forms.CharField(
        label="May hold in all",
        required=False,
        max_length=40,
        widget=forms.TextInput(attrs={"size": 14, "autocomplete": "off"}),
        help_text="As asked for, unless you write something else: 8, 0.5 or 32Gi.",
    )
    until = forms.DateField(
        label="Until the end of",
        required=False,
        widget=forms.DateInput(attrs={"type": "date", "class": "vTextField"}, format="%Y-%m-%d"),
        help_text="Then what was added is taken back. Empty: as asked for.",
    )
    field_order = ("amount", "until", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if len(self.rows) != 1:  # each as it was asked for
            del self.fields["amount"], self.fields["until"]
            return
        row = self.rows[0]
        self.fields["amount"].initial = write_amount(row.resource, row.amount)
        self.fields["until"].initial = timezone.localtime(row.until).date() if row.until else None

    def clean_amount(self) -> int | None:
        try:
            return parse_amount(self.rows[0].resource, self.cleaned_data["amount"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def clean_until(self) -> datetime | None:
        day = self.cleaned_data["until"]
        return timezone.make_aware(datetime.combine(day, time(23, 59, 59))) if day else None


def _approve(row: AllocationRequest, *, by: Any, reason: str, **said: Any) -> AllocationRequest:
    return services.approve_allocation(row, by=by, note=reason, **said)


def _refuse(row: AllocationRequest, *, by: Any, reason: str) -> AllocationRequest:
    return services.refuse_allocation(row, by=by, note=reason)


def _given(_row: AllocationRequest, made: AllocationRequest) -> str:
    """Write what was given, and what above keeps it from being used."""
    resource, given = made.resource, made.given or 0
    end = f" until {exactly(made.until)}" if made.until else ""
    said = f"{made.node}: from {in_units(resource, made.before)} to {in_units(resource, given)} {words(resource)}{end}"
    above = QuotaLimit.objects.filter(node_id__in=made.node.path[:-1], resource=resource, limit__lt=given)
    narrow = [f"{row.node} may hold {in_units(resource, row.most or 0)} in all" for row in above.select_related("node")]
    return "; ".join([said, *(f"but {words}" for words in narrow)])


@admin.register(AllocationRequest)
class AllocationRequestAdmin(GuardedAdmin):
    """Asked for in the portal or the API; answered here, or there by a maintainer within his team's share."""

    list_display = ("what", "node_shown", "who", "state_shown", "has", "until_shown", "asked", "why")
    list_filter = (_QUESTIONS, "state")
    list_select_related = ("node", "asked_by")
    search_fields = ("node__name", "=node__key", "asked_by__username", "=resource")
    search_help_text = "Whose quota, who asked, resource or a pasted id"
    ordering = ("-id",)
    fields = (
        "what", "node_shown", "holds", "who", "reason", "asked", "until_shown", "state_shown", "has", "given_shown", "decided_by_shown",
        "decided", "note",
    )  # fmt: skip
    node_shown = related("node", "whose quota")
    who = related("asked_by", "asked by")
    decided_by_shown = related("decided_by", "answered by")
    asked = time_of("created_at", "asked")
    until_shown = time_of("until", "until")
    decided = time_of("decided_at", "answered")
    actions = (
        Reasoned(
            "approve",
            _approve,
            label="Approve",
            effect="The limit is set at once. Who asked reads what you write below.",
            done="approved",
            applies=lambda row: row.state == RequestState.OPEN,
            form=ApproveForm,
            tell=_given,
        ),
        Reasoned(
            "refuse",
            _refuse,
            label="Refuse",
            effect="Nothing is given. Who asked reads what you write below.",
            done="refused",
            applies=lambda row: row.state == RequestState.OPEN,
            tell=lambda _row, made: f"{made.node} keeps {in_units(made.resource, made.before)} {words(made.resource)}",
        ),
    )

    @display(description="asks for", ordering="resource")
    def what(self, row: AllocationRequest) -> str:
        return f"{in_units(row.resource, row.amount)} {words(row.resource)}"

    @display(description="state", ordering="state")
    def state_shown(self, row: AllocationRequest) -> SafeString:
        return chip(_LOOKS[RequestState(row.state)], row.get_state_display())

    @display(description="had")
    def has(self, row: AllocationRequest) -> str:
        return in_units(row.resource, row.before)

    @display(description="given")
    def given_shown(self, row: AllocationRequest) -> str | SafeString:
        return NOTHING if row.given is None else f"{in_units(row.resource, row.given)} {words(row.resource)}"

    @display(description="holds now")
    def holds(self, row: AllocationRequest) -> str | SafeString:
        """Say what the limit is now, and how much of it is used: whether there is need."""
        limit = QuotaLimit.objects.filter(node=row.node_id, resource=row.resource).select_related("node").first()
        return NOTHING if limit is None else str(limit)

    @display(description="what for")
    def why(self, row: AllocationRequest) -> str:
        return f"{row.reason[:_SHORT]}…" if len(row.reason) > _SHORT else row.reason


_SHORT = 80


@panel("quotas.quotanode")
def _requests_for(node: Any, by: Any) -> Panel:
    rows = AllocationRequest.objects.visible_to(by, "view").filter(node=node)
    cells = [
        (
            page_of(row),
            chip(_LOOKS[RequestState(row.state)], row.get_state_display()),
            page_of(row.asked_by),
            when(row.created_at),
        )
        for row in rows.select_related("node", "asked_by").order_by("-id")[:ROWS]
    ]
    url = list_url("quotas.allocationrequest", node__id__exact=node.pk)
    return Panel("Requests for more", ("What", "State", "Asked by", "When"), cells, url, "Nobody asked for more.")
