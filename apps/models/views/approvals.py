"""Requests to move something protected: those one can answer, and those one made."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access.views import GuardedView
from apps.core.errors import Conflict, Invalid, NotAllowed
from apps.models import services
from apps.models.forms import AnswerForm
from apps.models.models import MoveRequest

_MOST = 100


class ApprovalsView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        live: Any = MoveRequest.objects.visible_to(self.user, "view").filter(model__archived_at=None).with_people()
        to_answer: Any = (
            MoveRequest.objects.visible_to(self.user, "approve").filter(model__archived_at=None).with_people()
        )
        context = {
            "waiting": to_answer.open().of_others(self.user).order_by("-pk")[:_MOST],
            "mine": live.filter(requested_by=self.user).order_by("-pk")[:_MOST],
        }
        return render(request, "models/approvals.html", context)


class AnswerView(GuardedView):
    """Approve or refuse."""

    policy_action: ClassVar[str] = "approve"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked: MoveRequest = self.find(MoveRequest.objects.with_people(), pk=pk)
        form = AnswerForm(request.POST)
        if form.is_valid():
            given = form.cleaned_data
            try:
                answered = services.decide_move(
                    asked, by=self.user, approve=given["do"] == "approve", reason=given["reason"]
                )
            except (Invalid, Conflict, NotAllowed) as refusal:
                messages.error(request, refusal.detail)
            else:
                messages.success(request, _SAID[answered.state])
        return redirect("registeredmodel-approvals")


class WithdrawView(GuardedView):
    policy_action: ClassVar[str] = "withdraw"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        asked: MoveRequest = self.find(MoveRequest.objects.with_people(), pk=pk)
        try:
            services.withdraw_request(asked, by=self.user)
        except (Conflict, NotAllowed) as refusal:
            messages.error(request, refusal.detail)
        else:
            messages.success(request, "Your request is withdrawn.")
        return redirect("registeredmodel-approvals")


_SAID = {
    "open": "Your approval counts. Others are needed still.",
    "done": "Your approval was the last that was needed: it is moved.",
    "refused": "The request is refused.",
}
