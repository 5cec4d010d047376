"""What can be limited, and with which limits nodes begin. What is built in needs no row here."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import KeptAdmin, Question, Reasoned, question_filter
from apps.access.admin.display import link, list_url
from apps.access.admin.filters import one_of
from apps.quotas import services
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.forms import DefaultForm, ResourceForm
from apps.quotas.models import QuotaDefault, Resource

_RESOURCES = question_filter(
    Resource, [Question("counted", "Counted in fair share", lambda rows: rows.filter(weight__gt=0))]
)
_DEFAULTS = question_filter(QuotaDefault, [Question("open", "Without a limit", lambda rows: rows.filter(limit=None))])


@admin.register(Resource)
class ResourceAdmin(KeptAdmin):
    """A new name is a new row: work may ask for it and nodes may limit it from then on."""

    form = ResourceForm
    list_display = ("name", "title", "position", "weight", "defaults")
    list_filter = (_RESOURCES,)
    search_fields = ("name", "title")
    ordering = ("position", "name")
    fields = ("name", "title", "position", "weight", "reason")
    actions = (
        Reasoned(
            "remove",
            services.delete_resource,
            label="Delete",
            effect="Nobody can ask for it or limit it any more. What is built in goes on with its own title and weight.",
            done="deleted",
        ),
    )

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Resource | None = None) -> Any:
        return ("name",) if obj else ()  # limits and work know it by its name

    @override
    def save_model(self, request: HttpRequest, obj: Resource, form: Any, change: bool) -> None:
        services.save_resource(obj, by=request.user, reason=form.cleaned_data["reason"])

    @display(description="new nodes begin with")
    def defaults(self, resource: Resource) -> SafeString:
        return link(list_url("quotas.quotadefault", resource=resource.pk), "defaults")


@admin.register(QuotaDefault)
class QuotaDefaultAdmin(KeptAdmin):
    """Counts for nodes that come into being from now on, before what the settings say."""

    form = DefaultForm
    list_display = ("kind", "resource", "limit_shown")
    list_display_links = ("kind", "resource")
    list_filter = (_DEFAULTS, one_of("kind", NodeKind.choices))
    search_fields = ("resource",)
    ordering = ("kind", "resource")
    fields = ("kind", "resource", "amount", "reason")
    actions = (
        Reasoned(
            "remove",
            services.delete_default,
            label="Delete",
            effect="New nodes of the kind begin as the settings say again. Those that are there keep their limits.",
            done="deleted",
        ),
    )

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        named = super().get_fields(request, obj)
        return named if "reason" in named else ["kind", "resource", "limit_shown"]

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("limit_shown",)

    @override
    def save_model(self, request: HttpRequest, obj: QuotaDefault, form: Any, change: bool) -> None:
        services.save_default(obj, by=request.user, reason=form.cleaned_data["reason"])

    @display(description="limit", ordering="limit")
    def limit_shown(self, row: QuotaDefault) -> str:
        return "no limit" if row.limit is None else f"{in_units(row.resource, row.limit)} {words(row.resource)}"
