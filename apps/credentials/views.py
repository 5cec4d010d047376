"""Credentials: what there is, a typed form for a new one, and a page of each that shows everything but its value."""

from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access import policy
from apps.access.views import GuardedView
from apps.core.errors import DomainError, Invalid, NotAllowed, NotFound
from apps.credentials import services
from apps.credentials.choices import Kind
from apps.credentials.forms import EditCredentialForm, NewCredentialForm, ValueForm
from apps.credentials.kinds import field_of
from apps.credentials.models import Credential
from apps.credentials.services import shown_variables
from apps.teams.models import Team

_MOST = 500
_USES = 100
_EDITED = ("name", "description", "visibility", "expires_at")


class CredentialListView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = Credential.objects.visible_to(self.user, "view").live().with_details()
        usable = set(Credential.objects.visible_to(self.user, "use").live().values_list("pk", flat=True)[:_MOST])
        context = {"credentials": rows.order_by("name", "pk")[:_MOST], "usable": usable}
        return render(request, "credentials/list.html", context)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class NewCredentialView(GuardedView):
    """One form per kind; the kind is part of the address."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._page(NewCredentialForm(kind=_kind(request), by=self.user))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewCredentialForm(request.POST, request.FILES, kind=_kind(request), by=self.user)
        if form.is_valid():
            try:
                made = self._create(form)
            except Invalid as refusal:
                form.take_over(refusal)
            except (NotAllowed, NotFound) as refusal:
                form.add_error("team", refusal.detail)
            except DomainError as refusal:
                form.add_error(None, refusal.detail)
            else:
                messages.success(
                    request, f"{made.name} is stored. Its value can be used and replaced, and not be read."
                )
                return redirect("credential", pk=made.pk)
        return self._page(form, HTTPStatus.BAD_REQUEST)

    def _create(self, form: NewCredentialForm) -> Credential:
        given = form.cleaned_data
        slug = given["team"]
        team = Team.objects.visible_to(self.user, "view").filter(slug=slug).first() if slug else None
        details = {name: given[name] for name in ("description", "visibility", "expires_at")}
        return services.create_credential(given["name"], form.kind, form.values(), by=self.user, team=team, **details)

    def _page(self, form: NewCredentialForm, status: int = HTTPStatus.OK) -> HttpResponse:
        context = {"form": form, "kinds": Kind.choices, "kind": form.kind, "kind_name": Kind(form.kind).label}
        return render(self.request, "credentials/new.html", context, status=status)


class CredentialView(GuardedView):
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return credential_page(self, self.find(Credential.objects.live().with_details(), pk=pk))


class EditView(GuardedView):
    """Name, description, visibility, expiry."""

    policy_action: ClassVar[str] = "edit"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        credential = self.find(Credential.objects.live().with_details(), pk=pk)
        form = EditCredentialForm(request.POST)
        if form.is_valid():
            changes = {
                name: form.cleaned_data[name]
                for name in _EDITED
                if form.cleaned_data[name] != getattr(credential, name)
            }
            try:
                services.update_credential(credential, by=self.user, **changes)
            except Invalid as refusal:
                for name, sentences in refusal.errors.items():
                    form.add_error(name if name in form.fields else None, sentences)
            else:
                return redirect("credential", pk=pk)
        return credential_page(self, credential, edit=form, status=HTTPStatus.BAD_REQUEST)


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class ReplaceView(GuardedView):
    """A new value in place of the old one."""

    policy_action: ClassVar[str] = "replace"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        credential = self.find(Credential.objects.live().with_details(), pk=pk)
        form = ValueForm(request.POST, request.FILES, kind=credential.kind)
        if form.is_valid():
            try:
                fresh = services.replace_credential(credential, form.values(), by=self.user)
            except Invalid as refusal:
                form.take_over(refusal)
            else:
                messages.success(
                    request, f"{fresh.name} has a new value, version {fresh.version}; the old one is gone."
                )
                return redirect("credential", pk=pk)
        return credential_page(self, credential, replace=form, status=HTTPStatus.BAD_REQUEST)


class DeleteView(GuardedView):
    policy_action: ClassVar[str] = "delete"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        credential = self.find(Credential.objects.live(), pk=pk)
        services.delete_credential(credential, by=self.user)
        messages.success(request, f"{credential.name} is deleted and its value destroyed.")
        return redirect("credential-list")


def credential_page(
    view: GuardedView,
    credential: Credential,
    *,
    edit: EditCredentialForm | None = None,
    replace: ValueForm | None = None,
    status: int = HTTPStatus.OK,
) -> HttpResponse:
    """Show all of a credential but its value, and what the reader may do with it."""
    public = {field_of(credential.kind, name).label: text for name, text in credential.public.items()}
    may_see_uses = policy.can(view.user, "uses", credential)
    uses: Any = credential.uses.with_details().order_by("-pk")[:_USES] if may_see_uses else []
    prefilled = {f"value_{name}": text for name, text in credential.public.items()}
    context = {
        "credential": credential,
        "public": public,
        "uses": uses,
        "may_see_uses": may_see_uses,
        "line": f"fathom run --credential {credential.name} -- …",
        "variables": shown_variables(credential),
        "edit": edit or EditCredentialForm(initial={name: getattr(credential, name) for name in _EDITED}),
        "replace": replace or ValueForm(kind=credential.kind, initial=prefilled),
    }
    return render(view.request, "credentials/detail.html", context, status=status)


def _kind(request: HttpRequest) -> str:
    asked = request.GET.get("kind", "")
    return asked if asked in Kind.values else Kind.GIT_HTTPS.value
