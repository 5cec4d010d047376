"""The audit trail in the admin. It is here because `audit` is below `access` and must not know it."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path
from django.utils import timezone
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import Question, RecordAdmin, question_filter
from apps.access.admin.display import NOTHING, document, exactly, link, list_url, page_url, time_of
from apps.access.admin.filters import one_of, typed
from apps.audit import organizations, querying
from apps.audit.choices import DOORS, LOOKS, Outcome
from apps.audit.export import Format
from apps.audit.models import DONE, AuditEvent
from apps.portal.api.audit import download


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


class OrganizationFilter(admin.SimpleListFilter):
    """Whose chain."""

    title = "organization"
    parameter_name = "organization"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(slug, slug) for slug in (querying.PLATFORM, *sorted(organizations.names().values()))]

    @override
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        known = {slug for slug, _ in self.lookup_choices}
        return queryset.filter(querying.by_organization(str(self.value()))) if self.value() in known else queryset


def midnight() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


_HOUR = timedelta(hours=1)
_QUESTIONS = question_filter(
    AuditEvent,
    [
        Question("changes", "Done today", lambda rows: rows.filter(DONE, at__gte=midnight()), "changes today"),
        Question("today", "Today", lambda rows: rows.filter(at__gte=midnight())),
        Question("hour", "In the last hour", lambda rows: rows.filter(at__gt=Now() - _HOUR)),
        Question("looks", "Seeing as somebody else", lambda rows: rows.filter(action__in=LOOKS)),
        Question("exports", "Exports", lambda rows: rows.filter(action="export")),
    ],
    is_record=True,
)


@admin.register(AuditEvent)
class AuditEventAdmin(RecordAdmin):
    """Who did what. Append-only: the database itself refuses changes."""

    list_display = ("moment", "who", "action", "subject", "outcome", "reason", "door", "ip")
    list_display_links = ("moment",)
    list_filter = (
        _QUESTIONS,
        typed("actor", title="who", condition=querying.by_actor),
        typed("since", title="from", kind="date", condition=lambda text: Q(at__gte=querying.moment(text, "since"))),
        typed("until", title="before", kind="date", condition=lambda text: Q(at__lt=querying.moment(text, "until"))),
        one_of("outcome", Outcome.choices),
        one_of("origin", [(door, door) for door in DOORS], title="door"),
        OrganizationFilter,
        ObjectTypeFilter,
    )
    list_select_related = False
    change_list_template = "admin/audit/auditevent/change_list.html"
    search_fields = ("actor_label", "action", "object_label", "=object_id", "reason", "=request_id")
    search_help_text = "Person, action, object (name or id), reason or request id"
    ordering = ("-id",)
    fields = (
        "exact_moment", "who", "on_behalf_of", "action", "subject", "object_type", "object_id", "outcome", "reason", "door",
        "ip", "request_id", "token_id", "chain", "together", "data_shown",
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

    @display(description="organization")
    def chain(self, event: AuditEvent) -> str:
        return (
            querying.PLATFORM if event.organization_id is None else organizations.names().get(event.organization_id, "")
        )

    @display(description="same transaction")
    def together(self, event: AuditEvent) -> SafeString:
        """Link to what was written with it: who and why stands in one event, what changed in others."""
        return link(list_url("audit.auditevent", txid=event.txid), "all events of it") if event.txid else NOTHING

    @display(description="details")
    def data_shown(self, event: AuditEvent) -> SafeString:
        return document(event.data)

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup in {"txid", "request_id", "object_id"} or super().lookup_allowed(lookup, value, request)

    @override
    def get_urls(self) -> list[Any]:
        view: Any = self.admin_site.admin_view(self.export)
        view.model_admin = self
        return [path("export/<str:form>/", view, name="audit_auditevent_export"), *super().get_urls()]

    def export(self, request: HttpRequest, form: str) -> HttpResponseBase:
        """Send every event of the list as it is filtered."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if form not in set(Format):
            raise Http404
        try:
            wanted = self.get_changelist_instance(request).get_queryset(request)
            return download(wanted, Format(form), by=request.user)
        except IncorrectLookupParameters as error:
            raise Http404 from error
