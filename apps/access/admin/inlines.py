"""Read-only tables of what belongs to the object on the page, the newest rows first and not without end."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from typing_extensions import override

if TYPE_CHECKING:
    FormSet = BaseInlineFormSet[Any, Any, Any]
    Inline = admin.TabularInline[Any, Any]
else:
    FormSet = BaseInlineFormSet
    Inline = admin.TabularInline


class _LatestFormSet(FormSet):
    rows = 20

    @override
    def get_queryset(self) -> QuerySet[Any]:
        if not hasattr(self, "_latest"):
            self._latest = super().get_queryset()[: self.rows]
        return self._latest


class LatestInline(Inline):
    """The newest rows of a child table, to look at. `model`, `fields` and `ordering` are the subclass's."""

    formset: type[FormSet] = _LatestFormSet
    extra = 0
    max_num = 0
    can_delete = False
    show_change_link = True
    template = "admin/latest_inline.html"

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.fields or ()

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return True  # the page it stands on was judged

    @override
    # Django gives inlines the parent as well.
    def has_add_permission(self, request: HttpRequest, obj: Model | None) -> bool:  # type: ignore[override]
        return False

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
