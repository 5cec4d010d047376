"""The pages of a run that no job stands behind. One with a job has its experiment's pages, under the same id."""

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from typing_extensions import override

from apps.access import policy
from apps.access.history import lines_of
from apps.access.views import GuardedView
from apps.core.errors import Conflict, Invalid
from apps.experiments.views import tabs
from apps.tracking import services as tracking
from apps.tracking.choices import RunStatus
from apps.tracking.models import Run

FRAME = "runs/run.html"


class TrackedPage(GuardedView):
    """What the tabs share. `of_job`: the same tab of an experiment. A deleted run shows its overview, to be restored."""

    shared_as: ClassVar[str] = "run"
    policy_action: ClassVar[str] = "view"
    tab: ClassVar[str] = "run"
    of_job: ClassVar[str] = "experiment"
    template: ClassVar[str]

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        run: Any = self.find(Run.objects.with_details(), pk=pk)
        if run.experiment_pk is not None:
            query = f"?{request.GET.urlencode()}" if request.GET else ""
            return redirect(reverse(self.of_job, args=[pk]) + query)
        if run.archived_at is not None and self.tab != "run":
            return redirect("run", pk=pk)
        context = {
            "frame": FRAME,
            "run": run,
            "tab": self.tab,
            "is_active": run.status == RunStatus.RUNNING and run.archived_at is None,
            "decisions": {name: policy.decide(policy.in_person(self.user), name, run) for name in ("log", "delete")},
        }
        return render(request, self.template, context | self.context(run))

    def context(self, run: Run) -> dict[str, Any]:
        raise NotImplementedError


class RunView(TrackedPage):
    template: ClassVar[str] = "runs/overview.html"

    @override
    def context(self, run: Run) -> dict[str, Any]:
        return tabs.records(run, by=self.user)


class RunMetricsView(TrackedPage):
    tab: ClassVar[str] = "run-metrics"
    of_job: ClassVar[str] = "experiment-metrics"
    template: ClassVar[str] = "runs/metrics.html"

    @override
    def context(self, run: Run) -> dict[str, Any]:
        return tabs.metrics(run)


class RunMediaView(TrackedPage):
    tab: ClassVar[str] = "run-media"
    of_job: ClassVar[str] = "experiment-media"
    template: ClassVar[str] = "runs/media.html"

    @override
    def context(self, run: Run) -> dict[str, Any]:
        return tabs.media(run, self.request.GET, by=self.user)


class RunArtifactsView(TrackedPage):
    tab: ClassVar[str] = "run-artifacts"
    of_job: ClassVar[str] = "experiment-artifacts"
    template: ClassVar[str] = "runs/artifacts.html"

    @override
    def context(self, run: Run) -> dict[str, Any]:
        return tabs.artifacts(run, self.request.GET, by=self.user)


class RunHistoryView(TrackedPage):
    tab: ClassVar[str] = "run-history"
    of_job: ClassVar[str] = "experiment-history"
    template: ClassVar[str] = "runs/history.html"

    @override
    def context(self, run: Run) -> dict[str, Any]:
        lines, page = lines_of(run, by=self.user, page=self.request.GET.get("page", "1"))
        return {"lines": lines, "page": page}


class RunStatusView(GuardedView):
    """The part of the header that changes."""

    shared_as: ClassVar[str] = "run"
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        run: Any = self.find(Run.objects.live().with_details(), pk=pk)
        if run.experiment_pk is not None:
            return redirect("experiment-status", pk=pk)
        context = {"run": run, "is_active": run.status == RunStatus.RUNNING}
        return render(request, "runs/_partials/status.html", context)


class RunAction(GuardedView):
    """Find it, act, say so, go back to its page. What its state forbids is said there; what the policy forbids is a 403."""

    shared_as: ClassVar[str] = "run"

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        run: Run = self.find(Run.objects.with_details(), pk=pk)
        try:
            messages.success(request, self.act(run))
        except Invalid as refusal:
            messages.error(request, " ".join(text for texts in refusal.errors.values() for text in texts))
        except Conflict as refusal:
            messages.error(request, refusal.detail)
        return redirect("run", pk=pk)

    def act(self, run: Run) -> str:
        raise NotImplementedError


class RunRenameView(RunAction):
    policy_action: ClassVar[str] = "log"

    @override
    def act(self, run: Run) -> str:
        name = self.request.POST.get("name", "").replace("\x00", "").strip()
        if not name:
            raise Invalid(errors={"name": ["A run has a name."]})
        return f"It is called {tracking.update_run(run, by=self.user, name=name)} now."


class RunFinishView(RunAction):
    policy_action: ClassVar[str] = "log"

    @override
    def act(self, run: Run) -> str:
        tracking.finish_run(run, self.request.POST.get("status", ""), by=self.user)
        return f"{run} has ended."


class RunDeleteView(RunAction):
    policy_action: ClassVar[str] = "delete"

    @override
    def act(self, run: Run) -> str:
        tracking.archive_run(run, by=self.user)
        return f"{run} is deleted."


class RunRestoreView(RunAction):
    policy_action: ClassVar[str] = "delete"

    @override
    def act(self, run: Run) -> str:
        tracking.restore_run(run, by=self.user)
        return f"{run} is restored."
