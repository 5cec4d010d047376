"""What is done to a model or a version from its page: plain forms, so that they work without JavaScript."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.models import services
from apps.models.choices import Target
from apps.models.forms import AliasForm, ReasonForm, RuleForm, StageForm
from apps.models.models import ModelVersion, RegisteredModel
from apps.models.views.finding import ModelPage
from apps.models.views.model import RulesView


class AliasView(ModelPage):
    """Move an alias, or ask for it where others have to approve."""

    policy_action: ClassVar[str] = "move"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        form = AliasForm(request.POST)
        if not form.is_valid():
            messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
            return redirect("registeredmodel", pk=pk)
        try:
            messages.success(request, self._move(model, form.cleaned_data))
        except (Invalid, NotAllowed, Conflict, NotFound) as refusal:
            messages.error(request, refusal.detail)
        return redirect("registeredmodel", pk=pk)

    def _move(self, model: RegisteredModel, given: dict[str, Any]) -> str:
        name, removes = given["alias"], given["do"] == "remove"
        version = services.find_version(model, given["version"])
        if _needs_approval(model, Target.ALIAS, name):
            return _ask(model, Target.ALIAS, name, version, by=self.user, reason=given["reason"], removes=removes)
        if removes:
            services.drop_alias(model, name, by=self.user, reason=given["reason"])
            return f"{name} points to nothing now."
        services.set_alias(model, name, version, by=self.user, reason=given["reason"])
        return f"{name} points to version {version.number} now."


class StageView(ModelPage):
    """Put a version into a stage, or ask for it."""

    policy_action: ClassVar[str] = "move"

    def post(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        form = StageForm(request.POST)
        if form.is_valid():
            try:
                messages.success(request, self._move(version, form.cleaned_data))
            except (Invalid, NotAllowed, Conflict) as refusal:
                messages.error(request, refusal.detail)
        else:
            messages.error(request, "Choose a stage.")
        return redirect("modelversion", pk=pk, number=number)

    def _move(self, version: ModelVersion, given: dict[str, Any]) -> str:
        stage, reason = given["stage"], given["reason"]
        if _needs_approval(version.model, Target.STAGE, stage, version.stage):
            return _ask(version.model, Target.STAGE, stage, version, by=self.user, reason=reason)
        services.move_stage(version, stage, by=self.user, reason=reason, archive_others=given["archive_others"])
        return f"Version {version.number} is in {stage} now."


class ProtectView(ModelPage):
    """Set a rule."""

    policy_action: ClassVar[str] = "protect"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        form = RuleForm(request.POST)
        if form.is_valid():
            given = dict(form.cleaned_data)
            try:
                services.protect(model, given.pop("target"), given.pop("name"), by=self.user, **given)
            except Invalid as refusal:
                form.take_over(refusal)
            else:
                messages.success(request, "The rule holds from now on.")
                return redirect("registeredmodel-rules", pk=pk)
        page = RulesView()
        page.setup(request, pk=pk)
        return page.page(request, model, status=400, form=form)


class LiftView(ModelPage):
    """Lift a rule."""

    policy_action: ClassVar[str] = "protect"

    def post(self, request: HttpRequest, pk: UUID, rule: UUID) -> HttpResponse:
        model = self.the_model(pk)
        found, form = model.protections.filter(pk=rule).first(), ReasonForm(request.POST)
        if found is None:
            messages.error(request, "The rule was lifted already.")
        elif form.is_valid():
            services.unprotect(found, by=self.user, reason=form.cleaned_data["reason"])
            messages.success(request, "The rule is lifted.")
        else:
            messages.error(request, "Say why.")
        return redirect("registeredmodel-rules", pk=pk)


class DeleteModelView(ModelPage):
    policy_action: ClassVar[str] = "delete"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        model = self.the_model(pk)
        try:
            services.archive_model(model, by=self.user, reason=request.POST.get("reason", "")[:1000])
        except Conflict as refusal:
            messages.error(request, refusal.detail)
            return redirect("registeredmodel", pk=pk)
        messages.success(request, f"{model.name} is deleted.")
        return redirect("registeredmodel-list")


class DeleteVersionView(ModelPage):
    policy_action: ClassVar[str] = "delete"

    def post(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        version = self.the_version(pk, number)
        try:
            services.archive_version(version, by=self.user, reason=request.POST.get("reason", "")[:1000])
        except Conflict as refusal:
            messages.error(request, refusal.detail)
            return redirect("modelversion", pk=pk, number=number)
        messages.success(request, f"{version} is deleted; its number is not given again.")
        return redirect("registeredmodel", pk=pk)


def _needs_approval(model: RegisteredModel, target: str, *names: str) -> bool:
    rule = services.rule_for(model, target, *(name for name in names if name != "None"))
    return rule is not None and rule.approvals > 0


def _ask(
    model: RegisteredModel,
    target: str,
    name: str,
    version: ModelVersion,
    *,
    by: Any,
    reason: str,
    removes: bool = False,
) -> str:
    asked = services.request_move(model, target, name, version, by=by, reason=reason, removes=removes)
    return f"{name} is protected. Your request ({asked.wish}) waits for others to approve it."
