"""What guarded model admins share: the stock Django admin, judged by the one policy."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet, UUIDField
from django.db.models.constants import LOOKUP_SEP
from django.forms import SplitDateTimeField
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.text import capfirst
from typing_extensions import override

from apps.access import policy
from apps.access.admin.autocompletes import ChecksAutocompletes
from apps.access.admin.counting import BoundedPaginator
from apps.access.admin.kept_lists import ListTools
from apps.access.admin.panels import links_of, panels_of
from apps.access.admin.reasons import Reasoned, refusals
from apps.access.history import lines_of
from apps.core.errors import DomainError

if TYPE_CHECKING:
    from django.forms import ModelForm

    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class GuardedAdmin(ChecksAutocompletes, ListTools, ModelAdmin):
    """Only an active admin enters; rows come through `visible_to`; services write; nothing is deleted here.

    Read-only unless `can_add` or `can_change` is set, and then `save_model` must call a service. What a service
    refuses is shown in the form, which keeps what was typed. The history page is the audit trail.
    """

    show_full_result_count = False
    list_per_page = 50
    paginator = BoundedPaginator
    policy_view = "view"
    policy_change = "edit"
    can_add = False
    can_change = False

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: Any = super().get_queryset(request)
        visible: QuerySet[Any] = rows.visible_to(request.user, self.policy_view)
        return visible

    @override
    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request) and (obj is None or policy.can(_user(request), self.policy_view, obj))

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.can_add and may_operate(request)

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if not (self.can_change and may_operate(request)):
            return False
        return obj is None or policy.can(_user(request), self.policy_change, obj)

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    @override
    def get_actions(self, request: HttpRequest) -> Any:
        return super().get_actions(request) if may_operate(request) else {}

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by a pasted id as well."""
        wanted = _uuid(search_term) if isinstance(self.opts.pk, UUIDField) or self.opts.pk.is_relation else None
        if wanted is not None:
            return queryset.filter(pk=wanted), False
        # PostgreSQL cannot compare with NUL.
        return super().get_search_results(request, queryset, search_term.replace("\x00", ""))

    @override
    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Narrow a list by what it shows or is made for.

        SECURITY: Django lets every column of the model pass. `?password__startswith=` would tell a hash letter by letter,
        `?settings__password=` what is written and never shown.
        """
        first = lookup.partition(LOOKUP_SEP)[0]
        fields = {field.name: field for field in self.opts.get_fields()}
        found = fields.get(first)
        # What points to another row shows no more than its id: what lies behind it Django judges.
        is_open = found is None or first in self._shown_names() or found.is_relation or found is self.opts.pk
        is_open = is_open or lookup in {getattr(entry, "parameter_name", "") for entry in self.list_filter}
        return is_open and super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]  # None in Django, too

    def _shown_names(self) -> set[str]:
        filters = [entry[0] if isinstance(entry, tuple) else entry for entry in self.list_filter]
        named = [*self.list_display, *(self.fields or ()), *self.search_fields, *filters]
        return {str(name).lstrip("=^@") for name in named if isinstance(name, str)}

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        msg = f"{type(self).__name__} must save through a service"
        raise NotImplementedError(msg)

    @override
    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as error:
            # The transaction is rolled back; the same form again, now with the refusal in it, which saves nothing.
            request.refusal = error  # type: ignore[attr-defined]  # carried to get_form
            return super().changeform_view(request, object_id, form_url, extra_context)

    @override
    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, SplitDateTimeField):  # Django names the pair and neither of the two
            for part, word in zip(field.widget.widgets, ("date", "time"), strict=True):
                part.attrs["aria-label"] = f"{capfirst(field.label)}: {word}"
        return field

    @override
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        error = getattr(request, "refusal", None)
        return form if error is None else _refused(form, error)

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        title = capfirst(self.opts.verbose_name_plural)
        tools = {"is_operating": may_operate(request), **self.tools_of_list(request)}
        answer = self.answer_tool(request)
        return answer or super().changelist_view(request, {"title": title, **tools, **(extra_context or {})})

    @override
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = context.get("original")
        if obj is not None:
            context |= {"title": str(obj), "subtitle": None}
            named = [action for action in self.actions or () if isinstance(action, Reasoned)]
            context["panels"] = panels_of(obj, request.user)
            links = links_of(obj) if may_operate(request) else []
            context["page_links"] = [*context.get("page_links", ()), *links]
            context["page_actions"] = [action for action in named if may_operate(request) and action.applies(obj)]
        return super().render_change_form(request, context, *args, **kwargs)

    @override
    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show what the audit trail says of the object."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            messages.warning(request, f"There is no {self.opts.verbose_name} with the id {unquote(object_id)}.")
            return redirect(f"{self.admin_site.name}:index")
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        lines, page = lines_of(obj, by=request.user, page=request.GET.get(PAGE_VAR, "1"))
        context = {
            **self.admin_site.each_context(request),
            "title": f"History: {obj}",
            "lines": lines,
            "page": page,
            "page_var": PAGE_VAR,
            "object": obj,
            "opts": self.opts,
            **(extra_context or {}),
        }
        return render(request, "admin/object_history.html", context)

    def own_page(self, view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        """Wrap a page of its own for `get_urls`: operators only. The page asks for the permission that it needs."""
        page: Any = self.admin_site.admin_view(view)
        page.model_admin = self  # as Django marks its own pages
        return page  # type: ignore[no-any-return]  # what was wrapped

    # Django's own log would be a second, poorer account of what the audit trail tells.
    @override
    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return None

    @override
    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        return None

    def report(self, request: HttpRequest, done: int, words: str, failures: list[str]) -> None:
        """Tell the operator what an action did, and each refusal in its own words."""
        if done:
            messages.success(request, f"{done} {words}.")
        for failure in failures:
            messages.error(request, failure)

    def each(self, rows: Iterable[Any], work: Callable[[Any], object]) -> tuple[int, list[str]]:
        """Apply the service call `work` to each row; collect refusals instead of stopping at the first."""
        done, failures = 0, []
        for row in rows:
            try:
                work(row)
            except DomainError as error:
                failures.append(f"{row}: {error.detail}")
            else:
                done += 1
        return done, failures


class RecordAdmin(GuardedAdmin):
    """Records of the platform about itself, which have no owner and no policy: operators read them, nobody else."""

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = ModelAdmin.get_queryset(self, request)
        return rows if is_operator(request) else rows.none()

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)


def is_operator(request: HttpRequest) -> bool:
    """Whether the person may use the admin at all: an admin who acts as one, or an auditor, who reads."""
    user = _user(request)
    return bool(user.is_active and user.is_staff)


def may_operate(request: HttpRequest) -> bool:
    """Whether the person may change anything through the admin."""
    return is_operator(request) and bool(_user(request).is_superuser)


def _user(request: HttpRequest) -> Any:
    return request.user


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _refused(form: "type[ModelForm[Any]]", error: DomainError) -> "type[ModelForm[Any]]":
    class Refused(form):  # type: ignore[valid-type, misc]  # a form class made by Django at run time
        def full_clean(self) -> None:
            super().full_clean()
            if not self.errors:
                for field, sentences in refusals(error, self.fields).items():
                    self.add_error(field, sentences)

    return Refused
