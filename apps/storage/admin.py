"""The store of artifacts for operators: what lies in it, what would go, and what went."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.http import HttpRequest, HttpResponse
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Question, question_filter
from apps.access.admin.display import size, time_of
from apps.access.forms import reason_field
from apps.storage import health, services
from apps.storage.models import Blob, Collection

if TYPE_CHECKING:
    CollectionModelForm = forms.ModelForm[Collection]
else:
    CollectionModelForm = forms.ModelForm

_BLOBS = question_filter(
    Blob,
    [
        Question("garbage", "Nobody refers to it", lambda rows: rows.unreferenced()),
        Question("marked", "Marked to be swept", lambda rows: rows.filter(doomed_at__isnull=False)),
    ],
)
_COLLECTIONS = question_filter(
    Collection, [Question("swept", "Swept something", lambda rows: rows.filter(swept__gt=0))], is_record=True
)


@admin.register(Blob)
class BlobAdmin(GuardedAdmin):
    """Bytes that lie in the store, whoever refers to them."""

    list_display = ("sha256", "bytes", "touched", "marked")
    list_filter = (_BLOBS,)
    search_fields = ("=sha256",)
    search_help_text = "A whole hash"
    ordering = ("sha256",)
    fields = ("sha256", "bytes", "touched", "marked")
    touched = time_of("touched_at", "last kept")
    marked = time_of("doomed_at", "marked")

    @display(description="size", ordering="size_bytes")
    def bytes(self, blob: Blob) -> str:
        return size(blob.size_bytes)


class CollectionForm(CollectionModelForm):
    """Says why; what will go is shown beside it."""

    reason = reason_field()

    class Meta:
        model = Collection
        fields: list[str] = []


@admin.register(Collection)
class CollectionAdmin(GuardedAdmin):
    """What each collection did. "Preview and collect" shows what the next one would do, and lets it be done."""

    can_add = True
    form = CollectionForm
    add_form_template = "admin/storage/preview.html"
    change_list_template = "admin/storage/collections.html"
    list_display = ("started", "asked_by", "expired", "expired_size", "marked", "swept", "swept_size")
    list_filter = (_COLLECTIONS,)
    ordering = ("-id",)
    fields = ("started", "asked_by", "expired", "expired_size", "marked", "swept", "swept_size")
    started = time_of("started_at", "started")

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ("reason",)

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"trouble": health.trouble(), **(extra_context or {})})

    @override
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what would go; posting it back is the collection."""
        if not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        found = services.preview(by=request.user)
        context = {"found": found, "trouble": health.trouble(), "title": "What a collection would do"}
        return super().add_view(request, form_url, {**context, **(extra_context or {})})

    @override
    def save_model(self, request: HttpRequest, obj: Collection, form: Any, change: bool) -> None:
        done = services.collect(by=request.user, reason=form.cleaned_data["reason"])
        obj.__dict__.update(done.__dict__)

    @override
    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        messages.success(request, f"Collected: {obj}.")
        return self.response_post_save_add(request, obj)

    @display(description="expired bytes")
    def expired_size(self, row: Collection) -> str:
        return size(row.expired_bytes)

    @display(description="swept bytes")
    def swept_size(self, row: Collection) -> str:
        return size(row.swept_bytes)
