"""Asking for more, and answering."""

from collections.abc import Mapping
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access.decision import Role
from apps.access.memberships import memberships_of
from apps.access.views import GuardedView
from apps.core.errors import Conflict, Invalid
from apps.portal import allocations
from apps.portal.forms import AskForm, DecideForm, written
from apps.quotas import services as quotas
from apps.quotas.forms import write_amount
from apps.quotas.models import AllocationRequest, QuotaNode

_OFFERED = ("node", "resource", "amount")


class AskView(GuardedView):
    """The form; the address may say what it is to begin with."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        given = {name: request.GET[name] for name in _OFFERED if name in request.GET}
        return self._page(AskForm(by=self.user, initial=given))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = AskForm(request.POST, by=self.user)
        if not form.is_valid():
            return self._page(form, 400)
        data = form.cleaned_data
        node = QuotaNode.objects.visible_to(self.user, "request").get(pk=data["node"])  # it was among the choices
        try:
            quotas.request_allocation(
                node, data["resource"], data["amount"], by=self.user, reason=data["reason"], until=data["until"]
            )
        except Invalid as refusal:
            _take_over(form, refusal.errors)
            return self._page(form, 400)
        except Conflict as refusal:
            form.add_error(None, refusal.detail)
            return self._page(form, 400)
        messages.success(request, "You have asked. The answer appears here.")
        return redirect("usage-requests")

    def _page(self, form: AskForm, status: int = 200) -> HttpResponse:
        return render(self.request, "quotas/ask.html", {"form": form}, status=status)


class AllocationsView(GuardedView):
    """What waits for my answer, and what I asked for."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return requests_page(self)


class AllocationDecideView(GuardedView):
    policy_action: ClassVar[str] = "decide"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked: AllocationRequest = self.find(AllocationRequest.objects.select_related("node", "asked_by"), pk=pk)
        form = DecideForm(request.POST, resource=asked.resource, prefix=str(pk))
        if not form.is_valid():
            return requests_page(self, {asked.pk: form}, 400)
        try:
            said = self._decide(asked, form.cleaned_data)
        except Invalid as refusal:
            _take_over(form, refusal.errors, limit="amount")
            return requests_page(self, {asked.pk: form}, 400)
        except Conflict as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, said)
        return redirect("usage-requests")

    def _decide(self, asked: AllocationRequest, data: Mapping[str, Any]) -> str:
        if not data["approved"]:
            quotas.refuse_allocation(asked, by=self.user, note=data["note"])
            return f"{asked.asked_by} was refused."
        answer = {"amount": data["amount"], "until": data["until"], "note": data["note"]}
        done = quotas.approve_allocation(asked, by=self.user, **answer)
        return f"{asked.node.name} may hold {written(asked.resource, done.given)} now."


class AllocationWithdrawView(GuardedView):
    policy_action: ClassVar[str] = "withdraw"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked: AllocationRequest = self.find(AllocationRequest.objects.select_related("node"), pk=pk)
        try:
            quotas.withdraw_allocation(asked, by=self.user)
        except Conflict as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, "Your request is withdrawn.")
        return redirect("usage-requests")


def requests_page(view: GuardedView, bound: Mapping[UUID, DecideForm] | None = None, status: int = 200) -> HttpResponse:
    """Show the requests; `bound` holds the answer that could not be given, with what was typed."""
    forms = bound or {}
    waiting = [
        (asked, forms.get(asked.pk) or _answer_to(asked))
        for asked in allocations.to_decide(view.user)[: allocations.MOST]
    ]
    context = {
        "waiting": waiting,
        "decides": view.user.is_superuser or bool(memberships_of(view.user).with_role(Role.MANAGER)),
        "mine": allocations.made_by(view.user)[: allocations.MOST],
    }
    return render(view.request, "quotas/requests.html", context, status=status)


def _answer_to(asked: AllocationRequest) -> DecideForm:
    """Return the form that gives exactly what was asked for."""
    initial = {"amount": write_amount(asked.resource, asked.amount), "until": asked.until and asked.until.date()}
    return DecideForm(resource=asked.resource, prefix=str(asked.pk), initial=initial)


def _take_over(form: Any, errors: Mapping[str, Any], **renamed: str) -> None:
    for name, sentences in errors.items():
        field = renamed.get(name, name)
        form.add_error(field if field in form.fields else None, sentences)
