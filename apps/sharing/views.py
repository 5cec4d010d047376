"""The share dialog, which is a page as well; asking for access, and the requests one decides."""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.cache import patch_vary_headers
from typing_extensions import override

from apps.access import policy
from apps.access.choices import Visibility
from apps.access.decision import Role
from apps.access.views import GuardedView
from apps.core.errors import Conflict, DomainError, Invalid, NotFound, Throttled
from apps.sharing import asking, kinds, services
from apps.sharing.choices import ROLES, ShareRole
from apps.sharing.forms import LIFETIMES, AskForm, DecisionForm, OwnerForm, ShareForm, VisibilityForm, take_over
from apps.sharing.models import AccessRequest

_MOST = 100
ASKED = "If there is such an object, those who manage it were asked. Their answer is shown here."


class SharePage(GuardedView):
    """Who has access, as what and why; for those who manage the object also what changes it."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return share_page(self, kind, kinds.find(kind, pk, by=self.user))


class ShareChange(GuardedView):
    """What the forms of the share page have in common: find it, change it, show the list again."""

    policy_action: ClassVar[str] = "share"
    form_class: ClassVar[Callable[..., forms.Form]]
    form_name: ClassVar[str]

    def post(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        found = kinds.find(kind, pk, by=self.user)
        policy.require(self.user, self.policy_action, found)
        form = self.form_class(request.POST)
        if form.is_valid():
            try:
                messages.success(request, self.change(found, form))
            except (Invalid, Conflict, Throttled) as refusal:
                take_over(form, getattr(refusal, "errors", {}) or {"": [refusal.detail]}, **_FIELDS)
            else:
                return self._shown(request, kind, pk)
        return share_page(self, kind, found, status=400, **{self.form_name: form})

    def change(self, found: Any, form: forms.Form) -> str:
        raise NotImplementedError

    def _shown(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        try:
            found = kinds.find(kind, pk, by=self.user)
        except NotFound:  # one has taken one's own access away
            return _onward(request, reverse("home"))
        if request.headers.get("HX-Request"):
            return share_page(self, kind, found)
        return redirect("share", kind=kind, pk=pk)


_FIELDS = {"user": "name", "team": "name", "organization": "name", "expires_at": "expires"}


class ShareAddView(ShareChange):
    form_class: ClassVar = ShareForm
    form_name: ClassVar[str] = "form"

    @override
    def change(self, found: Any, form: forms.Form) -> str:
        data = form.cleaned_data
        subject = services.find_subject(data["kind"], data["name"], by=self.user)
        before = services.share_with(found, subject.holder)
        expires_at = form.expires_at(before.expires_at if before else None) if isinstance(form, ShareForm) else None
        services.share(found, subject.holder, data["role"], by=self.user, expires_at=expires_at)
        return f"{subject} is {data['role']} now."


class ShareRemoveView(ShareChange):
    form_class: ClassVar = ShareForm
    form_name: ClassVar[str] = "form"

    @override
    def post(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        found = kinds.find(kind, pk, by=self.user)
        policy.require(self.user, self.policy_action, found)
        subject = services.known_subject(request.POST.get("kind", ""), request.POST.get("name", ""))
        # SECURITY: of who has no share nothing is said, or this would tell which names exist.
        if subject is not None and services.share_with(found, subject.holder) is not None:
            services.unshare(found, subject.holder, by=self.user)
            messages.success(request, f"The share with {subject} has ended.")
        return self._shown(request, kind, pk)


class VisibilityView(ShareChange):
    form_class: ClassVar = VisibilityForm
    form_name: ClassVar[str] = "visibility_form"

    @override
    def change(self, found: Any, form: forms.Form) -> str:
        chosen = form.cleaned_data["visibility"]
        services.set_visibility(found, chosen, by=self.user)
        return f"{found} is now for: {Visibility(chosen).label.lower()}."


class OwnerView(ShareChange):
    form_class: ClassVar = OwnerForm
    form_name: ClassVar[str] = "owner_form"

    @override
    def change(self, found: Any, form: forms.Form) -> str:
        to = services.find_subject("user", form.cleaned_data["to"], by=self.user)
        services.transfer_owner(found, to.holder, by=self.user)
        return f"{found} belongs to {to} now."


class AskView(GuardedView):
    """Ask for access. SECURITY: what is hidden and what never was get the same page and the same answer."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        kinds.kind_named(kind)
        return render(request, "sharing/ask.html", {"kind": kind, "pk": pk, "form": AskForm(initial=_wish(request))})

    def post(self, request: HttpRequest, kind: str, pk: UUID) -> HttpResponse:
        form = AskForm(request.POST)
        if form.is_valid():
            try:
                services.request_access(kind, pk, by=self.user, **form.cleaned_data)
            except (Conflict, Throttled) as refusal:
                form.add_error(None, refusal.detail)
            else:
                messages.success(request, ASKED)
                return redirect("requests")
        return render(request, "sharing/ask.html", {"kind": kind, "pk": pk, "form": form}, status=400)


class RequestsView(GuardedView):
    """What waits for my answer, and what I asked for."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        visible = AccessRequest.objects.visible_to(self.user, "view").with_people().order_by("-pk")
        waiting = list(visible.open().to_decide(self.user)[:_MOST])
        context = {
            "waiting": [(asked, titled(asked, self.user)) for asked in waiting],
            "mine": visible.made_by(self.user)[:_MOST],
            "roles": ShareRole.choices,
        }
        return render(request, "sharing/requests.html", context)


class DecideView(GuardedView):
    policy_action: ClassVar[str] = "decide"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked: AccessRequest = self.find(AccessRequest.objects.with_people(), pk=pk)
        form = DecisionForm(request.POST)
        if form.is_valid():
            data = form.cleaned_data
            grant = bool(data["granted"])
            try:
                services.decide_request(asked, by=self.user, grant=grant, role=data["role"], note=data["note"])
            except (Invalid, Conflict) as refusal:
                messages.error(request, refusal.detail)
            else:
                messages.success(request, f"{asked.by} {'was given access' if grant else 'was refused'}.")
        if "kind" in request.POST and request.headers.get("HX-Request"):
            return share_page(self, asked.kind, kinds.find(asked.kind, asked.object_id, by=self.user))
        return redirect("requests")


class WithdrawView(GuardedView):
    policy_action: ClassVar[str] = "withdraw"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked = self.find(AccessRequest.objects.with_people(), pk=pk)
        try:
            services.withdraw_request(asked, by=self.user)
        except Conflict as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, "Your request is withdrawn.")
        return redirect("requests")


def share_page(view: GuardedView, kind: str, found: Any, status: int = 200, **filled: forms.Form) -> HttpResponse:
    """Show the dialog's content: alone to htmx, which swaps it in whatever the status, else as a page."""
    request, row = view.request, policy.owned(found)
    held = policy.role_of(view.user, found)
    may_share = policy.can(policy.in_person(view.user), kinds.SHARE, found)
    holders = services.who_has_access(found, by=view.user)
    context = {
        "found": found,
        "kind": kinds.kind_named(kind),
        "row": row,
        "lines": holders.lines,
        "more": holders.more,
        "held": held,
        "may_share": may_share,
        "may_give": may_share and (row.owner_id == view.user.pk or view.user.is_superuser),
        "requests": AccessRequest.objects.visible_to(view.user, "decide").open().of(found).with_people()[:_MOST],
        "form": ShareForm(),
        "visibility_form": VisibilityForm(initial={"visibility": row.visibility}),
        "owner_form": OwnerForm(),
        "visibilities": _visibilities(row),
        "roles": ShareRole.choices,
        "lifetimes": LIFETIMES,
        "higher": [label.lower() for value, label in ShareRole.choices if ROLES[ShareRole(value)] > held],
        "address": request.build_absolute_uri(page_of(kind, found.pk) or reverse("share", args=[kind, found.pk])),
        "page": page_of(kind, found.pk),
        **_why(request, found, view.user, may_ask=held is Role.MANAGER or view.user.is_auditor),
        **filled,
    }
    if request.headers.get("HX-Request"):
        response = render(request, "sharing/_partials/share.html", {**context, "is_dialog": True})
    else:
        response = render(request, "sharing/share.html", context, status=status)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _why(request: HttpRequest, found: Any, user: Any, *, may_ask: bool) -> dict[str, Any]:
    name = request.GET.get("why", "").strip()
    if not may_ask:
        return {}
    told: dict[str, Any] = {"may_ask": True, "why_name": name}
    try:
        return {**told, "why": asking.why(found, name, "", by=user) if name else None}
    except DomainError as refusal:
        return {**told, "why_problem": refusal.detail}


def _visibilities(row: Any) -> list[tuple[str, str, str]]:
    """Return each choice with who it is, those that need a team only where there is one."""
    team, organization = (row.team.name, row.team.organization.name) if row.team else ("", "")
    words = {
        Visibility.PRIVATE: "the owner, and whom it is shared with",
        Visibility.TEAM: f"also {team}, by each one's role there",
        Visibility.ORGANIZATION: f"also everybody in {organization} may look",
        Visibility.PUBLIC: "also everybody who can log in may look",
    }
    return [
        (choice.value, choice.label, said)
        for choice, said in words.items()
        if row.team or choice in {Visibility.PRIVATE, Visibility.PUBLIC}
    ]


def page_of(kind: str, pk: UUID) -> str:
    """Return the page of an object, where it has one: the route is named after the kind, or another name of the same."""
    for name in (kind, *kinds.other_names(kind)):
        try:
            url = reverse(name, args=[pk])
        except NoReverseMatch:
            continue
        if name == kind or kinds.find_any(name, pk) is not None:
            return url
    return ""


def titled(asked: AccessRequest, user: Any) -> str:
    """Return the name of what is asked for, to somebody who may see it."""
    try:
        return str(kinds.find(asked.kind, asked.object_id, by=user))
    except NotFound:
        return str(asked.object_id)


def _onward(request: HttpRequest, url: str) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": url})
    return redirect(url)


def _wish(request: HttpRequest) -> dict[str, str]:
    wanted = request.GET.get("role", "")
    return {"role": wanted} if wanted in ShareRole.values else {}
