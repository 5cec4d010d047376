"""What is done to one experiment from its page: plain forms, so that they work without JavaScript."""

from typing import ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from typing_extensions import override

from apps.access.views import GuardedView
from apps.core.errors import Conflict, NeverFits
from apps.experiments import services
from apps.experiments.models import Experiment


class ActionView(GuardedView):
    """Find it, act, say so, go back. What its state forbids is said on its page; what the policy forbids is a 403."""

    shared_as: ClassVar[str] = "experiment"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        try:
            said = self.act(experiment)
        except (Conflict, NeverFits) as refusal:
            messages.error(request, refusal.detail)
            return redirect("experiment", pk=pk)
        messages.success(request, said)
        return self.onward(experiment)

    def act(self, experiment: Experiment) -> str:
        raise NotImplementedError

    def onward(self, experiment: Experiment) -> HttpResponse:
        return redirect("experiment", pk=experiment.pk)


class StopView(ActionView):
    policy_action: ClassVar[str] = "stop"

    @override
    def act(self, experiment: Experiment) -> str:
        reason = self.request.POST.get("reason", "").replace("\x00", "").strip()[:200]
        news = services.stop_experiment(experiment, by=self.user, reason=reason)
        return f"{experiment} was asked to stop." if news else f"{experiment} is stopped or stopping already."


class RetryView(ActionView):
    policy_action: ClassVar[str] = "retry"

    @override
    def act(self, experiment: Experiment) -> str:
        services.retry_experiment(experiment, by=self.user)
        return f"{experiment} is queued for a new attempt."


class DeleteView(ActionView):
    policy_action: ClassVar[str] = "delete"

    @override
    def act(self, experiment: Experiment) -> str:
        services.delete_experiment(experiment, by=self.user)
        return f"{experiment} is deleted. Its log and artifacts stay in the records."

    @override
    def onward(self, experiment: Experiment) -> HttpResponse:
        return redirect("experiment-list")
