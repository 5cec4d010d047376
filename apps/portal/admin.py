"""The audit trail in the admin. It is here because `audit` is below `access` and must not know it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import Question, RecordAdmin, question_filter
from apps.access.admin.display import document, exactly, link, page_url, time_of
from apps.access.admin.filters import one_of
from apps.audit.models import AuditEvent

_DOORS = ("admin", "api", "portal", "websocket", "system")


class ObjectTypeFilter(admin.SimpleListFilter):
    """Offers what the admin has pages for; asking the table what it holds would read all of it."""

    title = "kind of object"
    parameter_name = "object_type"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        models = [model._meta for model in model_admin.admin_site._registry]  # noqa: SLF001 -- documented Django API
        return sorted((meta.label_lower, str(meta.verbose_name)) for meta in models if meta.model is not AuditEvent)

    @override
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(object_type=self.value()) if self.value() else queryset


def midnight() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


_HOUR = timedelta(hours=1)
_QUESTIONS = question_filter(
    AuditEvent,
    [
        Question("today", "Today", lambda rows: rows.filter(at__gte=midnight()), "changes today"),
        Question("hour", "In the last hour", lambda rows: rows.filter(at__gt=Now() - _HOUR)),
        Question("looks", "Seeing as somebody else", lambda rows: rows.filter(action__startswith="see_as")),
        Question("exports", "Exports", lambda rows: rows.filter(action="export")),
    ],
    is_record=True,
)


@admin.register(AuditEvent)
class AuditEventAdmin(RecordAdmin):
    """Who did what. Append-only: the database itself refuses changes."""

    list_display = ("moment", "who", "action", "subject", "reason", "door", "ip")
    list_display_links = ("moment",)
    list_filter = (
        _QUESTIONS,
        one_of("origin", [(door, door) for door in _DOORS], title="door"),
        ObjectTypeFilter,
        ("at", admin.DateFieldListFilter),
    )
    search_fields = ("actor_label", "action", "object_label", "=object_id", "reason", "=request_id")
    search_help_text = "Person, action, object (name or id), reason or request id"
    ordering = ("-id",)
    fields = (
        "exact_moment", "who", "action", "subject", "object_type", "object_id", "reason", "door", "ip",
        "request_id", "token_id", "data_shown",
    )  # fmt: skip
    moment = time_of("at", "when")

    @display(description="who", ordering="actor_label")
    def who(self, event: AuditEvent) -> str:
        return event.actor_label

    @display(description="door", ordering="origin")
    def door(self, event: AuditEvent) -> str:
        return event.origin

    @display(description="when")
    def exact_moment(self, event: AuditEvent) -> str:
        return exactly(event.at)

    @display(description="object")
    def subject(self, event: AuditEvent) -> str | SafeString:
        words = event.object_label or event.object_id
        url = page_url(event.object_type, event.object_id)
        return link(url, words) if url else words

    @display(description="details")
    def data_shown(self, event: AuditEvent) -> SafeString:
        return document(event.data)
