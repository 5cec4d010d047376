"""Priority classes: ranks among everybody's work, and who may give them to his."""

from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import KeptAdmin, Question, Reasoned, question_filter
from apps.access.admin.display import link, list_url
from apps.compute import priority_classes
from apps.compute.choices import OpenTo, State
from apps.compute.forms import PriorityClassForm
from apps.compute.models import PriorityClass

_CLASSES = question_filter(
    PriorityClass, [Question("open", "Not for admins only", lambda rows: rows.exclude(open_to=OpenTo.ADMINS))]
)


@admin.register(PriorityClass)
class PriorityClassAdmin(KeptAdmin):
    """A change counts for work submitted from then on: what waits keeps its rank, unless somebody changes that."""

    form = PriorityClassForm
    list_display = ("name", "rank", "open_to", "description", "waiting")
    list_filter = (_CLASSES, "open_to")
    search_fields = ("name", "description")
    ordering = ("-rank", "name")
    fields = ("name", "rank", "open_to", "description", "reason")
    actions = (
        Reasoned(
            "remove",
            priority_classes.delete_priority_class,
            label="Delete",
            effect="Nobody can use it any more. Work that has it keeps its name and rank.",
            done="deleted",
        ),
    )

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: PriorityClass | None = None) -> Any:
        return ("name",) if obj else ()  # work knows it by its name

    @override
    def save_model(self, request: HttpRequest, obj: PriorityClass, form: Any, change: bool) -> None:
        priority_classes.save_priority_class(obj, by=request.user, reason=form.cleaned_data["reason"])

    @display(description="waiting")
    def waiting(self, row: PriorityClass) -> SafeString:
        url = list_url("compute.workload", priority_class=row.name, state__exact=State.QUEUED.value)
        return link(url, "what waits with it")
