"""Forms that make models and versions, and change their cards."""

from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access.views import GuardedView
from apps.core.errors import DomainError, Invalid, NotAllowed, NotFound
from apps.models import services
from apps.models.forms import CardForm, NewModelForm, RefusableForm, RegisterForm, UploadForm, VersionCardForm
from apps.models.models import ModelVersion, RegisteredModel
from apps.models.views.finding import ModelPage
from apps.teams.models import Team
from apps.tracking.models import Run


class NewModelView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "models/new.html", {"form": NewModelForm(by=self.user)})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewModelForm(request.POST, by=self.user)
        if form.is_valid():
            try:
                return redirect("registeredmodel", pk=_create(form, self.user).pk)
            except Invalid as refusal:
                form.take_over(refusal)
            except (NotAllowed, NotFound) as refusal:
                form.add_error("team", refusal.detail)
        return render(request, "models/new.html", {"form": form}, status=HTTPStatus.BAD_REQUEST)


def _create(form: NewModelForm, by: Any) -> RegisteredModel:
    given = form.cleaned_data
    team = Team.objects.visible_to(by, "view").filter(slug=given["team"]).first() if given["team"] else None
    details = {name: given[name] for name in ("description", "visibility")}
    return services.create_model(given["name"], by=by, team=team, **details)


class RegisterView(GuardedView):
    """From the files of a run."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, run: UUID) -> HttpResponse:
        found = self._run(run)
        form = RegisterForm(by=self.user, initial={"path": request.GET.get("path", "")[:500]})
        return render(request, "models/register.html", {"form": form, "run": found})

    def post(self, request: HttpRequest, run: UUID) -> HttpResponse:
        found = self._run(run)
        form = RegisterForm(request.POST, by=self.user)
        if form.is_valid():
            try:
                version = self._register(form, found)
            except Invalid as refusal:
                form.take_over(refusal)
            except (NotAllowed, NotFound) as refusal:
                form.add_error("model", refusal.detail)
            else:
                messages.success(request, f"{version} is registered.")
                return redirect("modelversion", pk=version.model_id, number=version.number)
        context = {"form": form, "run": found}
        return render(request, "models/register.html", context, status=HTTPStatus.BAD_REQUEST)

    def _run(self, pk: UUID) -> Run:
        run: Run = self.find(Run.objects.live().select_related("project", "team"), pk=pk)
        return run

    def _register(self, form: RegisterForm, run: Run) -> ModelVersion:
        given = form.cleaned_data
        if given["model"]:
            model = services.find_model(given["model"], by=self.user, action="register")
            return self._version(model, run, given)
        try:
            model = services.create_model(given["new_name"], by=self.user, team=run.team, visibility=run.visibility)
        except Invalid as refusal:
            raise Invalid(errors={"new_name": refusal.errors.get("name", [refusal.detail])}) from refusal
        try:
            return self._version(model, run, given)
        except DomainError:
            services.archive_model(model, by=self.user, reason="Nothing could be registered under it.")
            raise

    def _version(self, model: RegisteredModel, run: Run, given: dict[str, Any]) -> ModelVersion:
        details = services.Details(description=given["description"])
        return services.register_run(model, run, given["path"], by=self.user, details=details)


class UploadView(ModelPage):
    """Files, or an archive of them, from the browser."""

    policy_action: ClassVar[str] = "register"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return render(request, "models/upload.html", {"form": UploadForm(), "model": self.the_model(pk)})

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        form = UploadForm(request.POST, request.FILES)
        if form.is_valid():
            try:
                version = self._register(model, form)
            except DomainError as refusal:
                _said(form, refusal)
            else:
                messages.success(request, f"{version} is registered.")
                return redirect("modelversion", pk=pk, number=version.number)
        context = {"form": form, "model": model}
        return render(request, "models/upload.html", context, status=HTTPStatus.BAD_REQUEST)

    def _register(self, model: RegisteredModel, form: UploadForm) -> ModelVersion:
        archive = form.archive()
        if archive is not None:
            kept = services.store_archive(archive[0].file, archive[1])
        else:
            kept = services.store_files((file.name, file.chunks()) for file in form.cleaned_data["chosen"])
        details = services.Details(description=form.cleaned_data["description"])
        return services.register_files(model, kept, by=self.user, details=details)


class EditView(ModelPage):
    """Name and card."""

    policy_action: ClassVar[str] = "edit"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        form = CardForm(initial={"name": model.name, "description": model.description})
        return render(request, "models/edit.html", {"form": form, "model": model})

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        form = CardForm(request.POST)
        if form.is_valid():
            changes = {name: text for name, text in form.cleaned_data.items() if text != getattr(model, name)}
            try:
                services.update_model(model, by=self.user, **changes)
            except Invalid as refusal:
                form.take_over(refusal)
            else:
                return redirect("registeredmodel", pk=pk)
        return render(
            request, "models/edit.html", {"form": form, "model": self.the_model(pk)}, status=HTTPStatus.BAD_REQUEST
        )


class EditVersionView(ModelPage):
    """The card of a version."""

    policy_action: ClassVar[str] = "edit"

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        form = VersionCardForm(initial={"description": version.description})
        return render(request, "models/edit.html", {"form": form, "model": version.model, "version": version})

    def post(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        form = VersionCardForm(request.POST)
        if form.is_valid():
            services.update_version(version, by=self.user, description=form.cleaned_data["description"])
            return redirect("modelversion", pk=pk, number=number)
        context = {"form": form, "model": version.model, "version": version}
        return render(request, "models/edit.html", context, status=HTTPStatus.BAD_REQUEST)


def _said(form: RefusableForm, refusal: DomainError) -> None:
    if isinstance(refusal, Invalid):
        form.take_over(refusal)
    else:
        form.add_error(None, refusal.detail)
