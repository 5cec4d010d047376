"""What one does with a filtered list as a whole: keep it under a name, or take it home as a file."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from apps.access import saved_filters
from apps.access.admin import exports
from apps.access.admin.reasons import MOST_ROWS
from apps.access.models import SavedFilter
from apps.core.errors import DomainError

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = object

SAVE, DELETE = "_save_filter", "_delete_filter"
# Where one is in a list, and what was asked of it once, is no part of the list.
_PASSING = ("p", "e", "all", exports.PARAMETER, "_popup", "_to_field")


class ListTools(ModelAdmin):
    """For a model admin that is guarded already."""

    def tools_of_list(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the list's template shows above the rows."""
        query = self._query(request)
        return {
            "saved_filters": [
                {"row": row, "is_current": row.query == query, "is_own": row.owner_id == request.user.pk}
                for row in self._kept(request).select_related("owner").order_by("name", "pk")
            ],
            "list_query": query,
            "export_formats": tuple(exports.FORMATS),
            "most_rows": MOST_ROWS,
        }

    def answer_tool(self, request: HttpRequest) -> Any:
        """Answer what was asked of the list as a whole; None when it is only to be shown."""
        if request.method == "POST":
            if SAVE in request.POST:
                return self._save(request)
            return self._delete(request) if DELETE in request.POST else None
        return self._export(request) if exports.PARAMETER in request.GET else None

    def _export(self, request: HttpRequest) -> HttpResponseBase:
        kind = request.GET[exports.PARAMETER]
        if kind not in exports.FORMATS:
            raise Http404
        changelist = self._understood(request)
        if changelist is None:
            return HttpResponseRedirect(f"{request.path}?e=1")
        return exports.export(self, request, changelist, kind)

    def _save(self, request: HttpRequest) -> HttpResponse:
        """Keep the list as its own address says; what the list does not understand is not kept."""
        if self._understood(request) is None:
            return HttpResponseRedirect(f"{request.path}?e=1")
        query, name = self._query(request), request.POST.get("name", "")
        try:
            shared = request.POST.get("shared") == "1"
            saved_filters.save_filter(self.opts.label_lower, name, query, by=request.user, shared=shared)
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, f"Kept as “{name.strip()}”.")
        return HttpResponseRedirect(f"{request.path}?{query}")

    def _delete(self, request: HttpRequest) -> HttpResponse:
        pk = request.POST[DELETE]
        rows = self._kept(request)
        saved = rows.filter(pk=pk).first() if pk.isascii() and pk.isdigit() and len(pk) < len(str(1 << 63)) else None
        if saved is None:
            raise Http404
        try:
            saved_filters.delete_filter(saved, by=request.user)
        except DomainError as error:
            messages.error(request, error.detail)
        else:
            messages.success(request, f"“{saved.name}” is forgotten.")
        return HttpResponseRedirect(f"{request.path}?{self._query(request)}")

    def _kept(self, request: HttpRequest) -> Any:
        """Keep one's own and what is shared: an admin may read the others', but they are no use to him."""
        rows = SavedFilter.objects.visible_to(request.user, "view").filter(label=self.opts.label_lower)
        return rows.filter(Q(owner_id=request.user.pk) | Q(is_shared=True))

    def _understood(self, request: HttpRequest) -> Any:
        """Return the list as Django reads its address; None when it holds what no filter of this list knows."""
        plain = request.GET.copy()
        for name in _PASSING:
            plain.pop(name, None)
        request.GET = plain  # type: ignore[assignment]  # a copy of its own
        try:
            return self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return None

    def _query(self, request: HttpRequest) -> str:
        kept = request.GET.copy()
        for name in _PASSING:
            kept.pop(name, None)
        return kept.urlencode()
