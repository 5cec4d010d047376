"""Choosing another row by typing. Django's own field fails on what is no id when the form is shown again, and has no name
for who hears the page.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.db.models import ForeignKey
from django.forms import Media
from django.http import HttpRequest
from typing_extensions import override

if TYPE_CHECKING:
    BaseAdmin = admin.options.BaseModelAdmin[Any]
else:
    BaseAdmin = object


class CheckedAutocomplete(AutocompleteSelect):
    @property
    def media(self) -> Media:
        return super().media + Media(js=["admin/js/autocomplete.js", "js/admin-choosing.js"])  # in this order

    @override
    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        return super().optgroups(name, [one for one in value if self._may_be_an_id(one)], attr)

    @override
    def build_attrs(self, base_attrs: Any, extra_attrs: Any = None) -> Any:
        """Say in an empty one what is chosen there: to a screen reader it has no other name."""
        words = f"Choose: {self.field.verbose_name}"
        return super().build_attrs(base_attrs, extra_attrs) | {"data-placeholder": words}

    def _may_be_an_id(self, text: str) -> bool:
        key = self.field.remote_field.model._meta.pk  # noqa: SLF001 -- documented Django API
        try:
            key.run_validators(key.to_python(text))
        except ValidationError:
            return False
        return True


class ChecksAutocompletes(BaseAdmin):
    """Mixin of model admins and inlines that have `autocomplete_fields`."""

    def formfield_for_foreignkey(self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            kwargs["widget"] = CheckedAutocomplete(db_field, self.admin_site, using=kwargs.get("using"))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)
