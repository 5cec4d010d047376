"""The submit form, its live preview, and the form for a copy."""

from http import HTTPStatus
from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render

from apps.access.views import GuardedView
from apps.core.errors import DomainError, Invalid
from apps.experiments import services, snippets
from apps.experiments.forecast import forecast
from apps.experiments.forms import CLONED, SubmitForm, chosen_credentials, initial_from
from apps.experiments.models import CodeUpload, Experiment
from apps.teams.services import find_team
from apps.tracking import services as tracking


class SubmitView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        given = {
            name: request.GET[name]
            for name in ("project", "team", "kind", "name", "command", "environment")
            if name in request.GET
        }
        return form_page(self, SubmitForm(by=self.user, initial={"kind": "shell", **given}))

    def post(self, request: HttpRequest) -> HttpResponse:
        return accept(self, SubmitForm(*_bound(request), by=self.user))


class CloneView(GuardedView):
    """The same form, filled in from an experiment one may see; the copy is one's own."""

    shared_as: ClassVar[str] = "experiment"
    policy_action: ClassVar[str] = "clone"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        source = self._source(pk)
        changed = {name: request.GET[name] for name in CLONED if name in request.GET}
        return form_page(self, SubmitForm(by=self.user, source=source, initial=initial_from(source) | changed))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return accept(self, SubmitForm(*_bound(request), by=self.user, source=self._source(pk)))

    def _source(self, pk: UUID) -> Experiment:
        source: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        return source


class PreviewView(GuardedView):
    """What the form means so far: would it start, and how to ask for the same elsewhere."""

    policy_action: ClassVar[str] = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        form = SubmitForm(request.POST, by=self.user)
        return render(request, "experiments/_partials/preview.html", {"form": form, **preview(form, self.user)})


def _bound(request: HttpRequest) -> tuple[Any, Any]:
    return request.POST.copy(), request.FILES


def accept(view: GuardedView, form: SubmitForm) -> HttpResponse:
    """Keep the code first, so that it need not be sent twice; then create the project if asked; then submit."""
    form.full_clean()
    try:
        _keep_code(form, view.user)
        if form.is_valid():
            _make_project(form, view.user)
            return redirect("experiment", pk=_submit(form, view.user).pk)
    except Invalid as refusal:
        form.take_over(refusal)
    except DomainError as refusal:
        form.add_error(None, refusal.detail)
    return form_page(view, form, HTTPStatus.BAD_REQUEST)


def _keep_code(form: SubmitForm, user: Any) -> None:
    if not (content_type := form.archive_type):
        return
    file = form.cleaned_data["code_file"]
    upload, _ = services.upload_code(file.chunks(), by=user, sha256="", content_type=content_type)
    _retype(form, code_ref=str(upload))
    form.full_clean()


def _retype(form: SubmitForm, **values: str) -> None:
    """Change what the form shows when it comes back."""
    data = cast("QueryDict", form.data)
    for name, value in values.items():
        data[name] = value


def _make_project(form: SubmitForm, user: Any) -> None:
    name = form.cleaned_data.get("new_project", "").strip()
    if not name:
        return
    team = find_team(form.cleaned_data.get("team") or None, by=user)
    try:
        project = tracking.create_project(name, by=user, team=team)
    except Invalid as refusal:
        raise Invalid(
            errors={"new_project": [text for texts in refusal.errors.values() for text in texts]}
        ) from refusal
    form.cleaned_data["project"] = str(project.pk)
    _retype(form, project=str(project.pk), new_project="")


def _submit(form: SubmitForm, user: Any) -> Experiment:
    document = form.document()
    if form.source is None:
        return services.submit_experiment(document, by=user)
    dropped = set(form.source.spec) - set(document)
    if document.get("code") == form.source.spec.get("code"):
        document.pop("code", None)
        dropped.discard("code")
    return services.clone_experiment(form.source, by=user, overrides=document, without=dropped)


def form_page(view: GuardedView, form: SubmitForm, status: int = HTTPStatus.OK) -> HttpResponse:
    if not form.is_bound and form.initial.get("project") not in form.project_names:
        form.initial["project"] = ""  # of an experiment one may see, in a project one may not submit to
    if form.source is not None and not form.is_bound:
        form.initial["credentials"] = chosen_credentials(form.source, form.credential_names)
    context = preview(form, view.user) | {"form": form, "source": form.source, "code": _code(form, view.user)}
    return render(view.request, "experiments/form.html", context, status=status)


def _code(form: SubmitForm, user: Any) -> CodeUpload | None:
    """Return the kept upload the form refers to, if it is one's own."""
    reference = str(form["code_ref"].value() or "").removeprefix("sha256:")[:64].replace("\x00", "")
    found: CodeUpload | None = CodeUpload.objects.visible_to(user, "view").filter(sha256=reference).first()
    return found


def preview(form: SubmitForm, user: Any) -> dict[str, Any]:
    """Return what the preview shows: nothing to judge before there is a command."""
    form.is_valid()
    if not form.is_bound or form.parsed is None:
        return {"forecast": None, "yaml": "", "cli": ""}
    document = form.document()
    named = _with_names(document, form)
    return {"forecast": forecast(form.parsed, by=user), "yaml": snippets.as_yaml(named), "cli": snippets.as_cli(named)}


def _with_names(document: dict[str, Any], form: SubmitForm) -> dict[str, Any]:
    """Write the project's name for its id: it reads better, and a new project has no id yet."""
    new = str(form.cleaned_data.get("new_project", "")).strip()
    name = new or form.project_names.get(str(document.get("project")), "")
    return {**document, "project": name} if name else document
