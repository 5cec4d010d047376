"""Forms that make environments and versions, and change what may change."""

from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access.views import GuardedView
from apps.core.errors import DomainError, Invalid, NotAllowed, NotFound
from apps.environments import services
from apps.environments.forms import ContentsForm, EditEnvironmentForm, NewEnvironmentForm
from apps.environments.models import Environment
from apps.environments.views.finding import EnvironmentPage
from apps.teams.models import Team


class NewEnvironmentView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "environments/new.html", {"form": NewEnvironmentForm(by=self.user)})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewEnvironmentForm(request.POST, by=self.user)
        if form.is_valid():
            try:
                made = _create(form, self.user)
            except Invalid as refusal:
                form.take_over(refusal)
            except (NotAllowed, NotFound) as refusal:
                form.add_error("team", refusal.detail)
            except DomainError as refusal:
                form.add_error(None, refusal.detail)
            else:
                return redirect("environment-version", pk=made.pk, number=made.newest)
        return render(request, "environments/new.html", {"form": form}, status=HTTPStatus.BAD_REQUEST)


def _create(form: NewEnvironmentForm, by: Any) -> Environment:
    given = form.cleaned_data
    contents = services.read_contents(**form.contents())
    team = Team.objects.visible_to(by, "view").filter(slug=given["team"]).first() if given["team"] else None
    details = {name: given[name] for name in ("description", "visibility")}
    return services.create_environment(given["name"], contents, by=by, team=team, **details)


class NewVersionView(EnvironmentPage):
    """The next version; the form starts with the newest."""

    policy_action: ClassVar[str] = "edit"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        newest = services.version_numbered(environment, "latest")
        form = ContentsForm(initial=ContentsForm.like(newest) if newest else {})
        return render(request, "environments/add.html", {"form": form, "environment": environment})

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        form = ContentsForm(request.POST)
        if form.is_valid():
            try:
                contents = services.read_contents(**form.contents())
                version = services.create_version(environment, contents, by=self.user)
            except Invalid as refusal:
                form.take_over(refusal)
            except DomainError as refusal:
                form.add_error(None, refusal.detail)
            else:
                return redirect("environment-version", pk=pk, number=version.number)
        context = {"form": form, "environment": environment}
        return render(request, "environments/add.html", context, status=HTTPStatus.BAD_REQUEST)


class EditView(EnvironmentPage):
    """Name and description."""

    policy_action: ClassVar[str] = "edit"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        form = EditEnvironmentForm(initial={"name": environment.name, "description": environment.description})
        return render(request, "environments/edit.html", {"form": form, "environment": environment})

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        form = EditEnvironmentForm(request.POST)
        if form.is_valid():
            changes = {name: text for name, text in form.cleaned_data.items() if text != getattr(environment, name)}
            try:
                services.update_environment(environment, by=self.user, **changes)
            except Invalid as refusal:
                form.take_over(refusal)
            else:
                return redirect("environment", pk=pk)
        context = {"form": form, "environment": self.the_environment(pk)}
        return render(request, "environments/edit.html", context, status=HTTPStatus.BAD_REQUEST)


class DeleteView(EnvironmentPage):
    policy_action: ClassVar[str] = "delete"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        environment = self.the_environment(pk)
        services.archive_environment(environment, by=self.user, reason=request.POST.get("reason", "")[:1000])
        messages.success(request, f"{environment.name} is deleted.")
        return redirect("environment-list")
