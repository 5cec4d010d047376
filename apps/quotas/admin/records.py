"""What is held, and what was used lately: what admission and the loops wrote down."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import DurationField, ExpressionWrapper, F, FloatField, QuerySet, Value
from django.db.models.functions import Extract, Now, Power
from django.http import HttpRequest
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Question, question_filter
from apps.access.admin.display import related, time_of
from apps.access.admin.filters import is_null, one_of
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import Reservation, ShareUse

_DAY = timedelta(days=1)
_HELD = question_filter(
    Reservation,
    [
        Question("now", "Held now", lambda rows: rows.filter(released_at=None)),
        Question(
            "long", "Held for more than a day", lambda rows: rows.filter(released_at=None, held_at__lt=Now() - _DAY)
        ),
        Question("open", "Held without an end", lambda rows: rows.filter(released_at=None, ends_by=None)),
    ],
)
_USED = question_filter(
    ShareUse, [Question("day", "Counted within the last day", lambda rows: rows.filter(at__gt=Now() - _DAY))]
)
_PER_CPU_HOUR = 360_000.0  # fair share counts hundredths of CPU seconds


@admin.register(Reservation)
class ReservationAdmin(GuardedAdmin):
    """What each attempt holds: written by admission and release alone."""

    list_display = ("key", "holder", "amounts_shown", "held", "ends", "released")
    list_filter = (_HELD, is_null("released_at", yes="Held now", no="Given back", title="state"))
    list_select_related = ("node",)
    search_fields = ("=key", "node__name")
    search_help_text = "Attempt's handle, or whose quota"
    ordering = ("-id",)
    fields = ("key", "holder", "amounts_shown", "held", "ends", "released")
    holder = related("node", "whose quota")
    held = time_of("held_at", "since")
    ends = time_of("ends_by", "ends by")
    released = time_of("released_at", "given back")

    @display(description="amounts")
    def amounts_shown(self, row: Reservation) -> str:
        return ", ".join(f"{in_units(resource, amount)} {words(resource)}" for resource, amount in row.amounts.items())


def _now_used() -> Any:
    """Let what was counted decay up to now, as admission does."""
    age = Extract(ExpressionWrapper(Now() - F("at"), output_field=DurationField()), "epoch")
    half_lives = ExpressionWrapper(
        age / Value(settings.FAIR_SHARE_HALF_LIFE.total_seconds()), output_field=FloatField()
    )
    return ExpressionWrapper(F("amount") * Power(Value(0.5), half_lives), output_field=FloatField())


@admin.register(ShareUse)
class ShareUseAdmin(GuardedAdmin):
    """Who used what lately, as fair share counts it now: it halves with every half-life."""

    list_display = ("who", "kind", "lately", "weight", "score", "counted")
    list_filter = (_USED, one_of("node__kind", NodeKind.choices, title="kind"))
    list_select_related = ("node",)
    search_fields = ("node__name", "node__key")
    search_help_text = "Person, team, organization or cluster"
    ordering = (_now_used().desc(),)
    fields = ("holder", "kind", "lately", "weight", "score", "counted")
    holder = related("node")
    counted = time_of("at", "counted")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(now_used=_now_used())
        return rows

    @display(description="who", ordering="node__name")
    def who(self, row: ShareUse) -> str:
        return row.node.name

    @display(description="kind")
    def kind(self, row: ShareUse) -> str:
        return str(row.node.get_kind_display())

    @display(description="used lately, CPU hours", ordering="now_used")
    def lately(self, row: Any) -> str:
        return f"{row.now_used / _PER_CPU_HOUR:,.2f}"

    @display(description="weight", ordering="node__weight")
    def weight(self, row: ShareUse) -> int:
        return row.node.weight

    @display(description="used over weight: the less, the earlier its turn")
    def score(self, row: Any) -> str:
        return f"{row.now_used / row.node.weight / _PER_CPU_HOUR:,.2f}"
