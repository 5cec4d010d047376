"""Requests for access, and the page that says why somebody can see an object, or why not."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from typing_extensions import override

from apps.access import policy
from apps.access.admin import GuardedAdmin, Question, Reasoned, question_filter
from apps.access.admin.display import related, time_of
from apps.access.admin.guarded import is_operator, may_operate
from apps.access.choices import Visibility
from apps.core.errors import DomainError, Invalid
from apps.sharing import asking, kinds, services
from apps.sharing.choices import RequestState, ShareRole, SubjectKind
from apps.sharing.models import AccessRequest


class WhyForm(forms.Form):
    """Which object, who, and what he would do."""

    kind = forms.ChoiceField(choices=lambda: [(name, kind.label.capitalize()) for name, kind in kinds.kinds().items()])
    id = forms.UUIDField(label="Id", error_messages={"invalid": "Paste the whole id."})
    user = forms.CharField(max_length=150, required=False, label="Person", help_text="The exact user name.")
    action = forms.CharField(max_length=40, required=False, help_text="Empty: view.")


class ChangeForm(forms.Form):
    """What an operator changes on the page, with the reason for the audit trail."""

    do = forms.ChoiceField(choices=[(one, one) for one in ("share", "unshare", "visibility")])
    subject_kind = forms.ChoiceField(choices=SubjectKind.choices, required=False)
    name = forms.CharField(max_length=150, required=False)
    role = forms.ChoiceField(choices=ShareRole.choices, required=False)
    visibility = forms.ChoiceField(choices=Visibility.choices, required=False)
    reason = forms.CharField(max_length=500, error_messages={"required": "Say why."})


def _decision(*, grant: bool) -> Any:
    def work(request: AccessRequest, *, by: Any, reason: str) -> None:
        services.decide_request(request, by=by, grant=grant, note=reason)

    return work


def _is_open(request: AccessRequest) -> bool:
    return request.state == RequestState.OPEN


_WEEK = timedelta(days=7)
_REQUESTS = question_filter(
    AccessRequest,
    [
        Question("open", "Open", lambda rows: rows.open(), "access requests open", "busy"),
        Question("long", "Open for more than 7 days", lambda rows: rows.open().filter(created_at__lt=Now() - _WEEK)),
    ],
)


@admin.register(AccessRequest)
class AccessRequestAdmin(GuardedAdmin):
    """Decided by those who manage the object; an operator steps in by the same service."""

    list_display = ("__str__", "who", "role", "state", "asked", "decided")
    list_filter = (_REQUESTS, "state", "kind", "role")
    list_select_related = ("by", "decided_by")
    search_fields = ("by__username", "=object_id", "message")
    ordering = ("-id",)
    fields = ("kind", "object_id", "who", "role", "message", "state", "note", "decider", "asked", "decided")
    who = related("by")
    decider = related("decided_by")
    asked = time_of("created_at", "asked")
    decided = time_of("decided_at", "decided")
    actions = (
        Reasoned(
            "grant_requests",
            _decision(grant=True),
            label="Grant",
            effect="The object is shared as it was asked for.",
            done="granted",
            applies=_is_open,
        ),
        Reasoned(
            "refuse_requests",
            _decision(grant=False),
            label="Refuse",
            effect="The person is told no, with the reason.",
            done="refused",
            applies=_is_open,
        ),
    )

    @override
    def get_urls(self) -> list[URLPattern]:
        why: Any = self.admin_site.admin_view(self.why_view)
        why.model_admin = self  # as Django marks a model's own pages
        return [path("why/", why, name="sharing_why"), *super().get_urls()]

    def why_view(self, request: HttpRequest) -> HttpResponse:
        """Say why somebody can see an object or why not, and who has access; an acting admin changes that here."""
        if not is_operator(request):
            raise PermissionDenied
        form = WhyForm(request.GET) if request.GET.get("id") else WhyForm(initial=request.GET.dict())
        context: dict[str, Any] = {"form": form, "change": ChangeForm(), "may_operate": may_operate(request)}
        if form.is_bound and form.is_valid():
            try:
                found = kinds.find(form.cleaned_data["kind"], form.cleaned_data["id"], by=request.user)
                if request.method == "POST":
                    return self._change(request, found)
                context |= _told(request, found, form)
            except DomainError as refusal:
                form.add_error(None, refusal.detail)
        page = {
            **self.admin_site.each_context(request),
            **context,
            "title": "Why can somebody see this, or why not?",
            "opts": self.opts,
            "is_popup": False,
        }
        return TemplateResponse(request, "admin/sharing/why.html", page)

    def _change(self, request: HttpRequest, found: Any) -> HttpResponse:
        if not may_operate(request):
            raise PermissionDenied
        form = ChangeForm(request.POST)
        if not form.is_valid():
            messages.error(request, " ".join(str(sentence) for found in form.errors.values() for sentence in found))
        else:
            try:
                _apply(found, form.cleaned_data, request.user)
            except DomainError as refusal:
                messages.error(request, refusal.detail)
            else:
                messages.success(request, "Done.")
        return redirect(request.get_full_path())


def _told(request: HttpRequest, found: Any, form: WhyForm) -> dict[str, Any]:
    user: Any = request.user
    told: dict[str, Any] = {
        "found": found,
        "row": policy.owned(found),
        "holders": services.who_has_access(found, by=user),
        "subjects": SubjectKind.choices,
        "roles": ShareRole.choices,
        "visibilities": Visibility.choices,
    }
    if form.cleaned_data["user"]:
        told["why"] = asking.why(found, form.cleaned_data["user"], form.cleaned_data["action"], by=user)
    return told


def _apply(found: Any, asked: dict[str, Any], by: Any) -> None:
    reason = asked["reason"]
    match asked["do"]:
        case "share":
            subject = services.find_subject(asked["subject_kind"], asked["name"], by=by)
            services.share(found, subject.holder, asked["role"], by=by, reason=reason)
        case "unshare":
            known = services.known_subject(asked["subject_kind"], asked["name"])
            if known is None:
                raise Invalid(errors={"name": ["There is no such share."]})
            services.unshare(found, known.holder, by=by, reason=reason)
        case _:
            services.set_visibility(found, asked["visibility"], by=by, reason=reason)
