"""The run page: one header, six tabs."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from typing_extensions import override

from apps.access import policy
from apps.access.history import lines_of
from apps.access.views import GuardedView
from apps.compute import why
from apps.compute.choices import ACTIVE, TERMINAL, DesiredState, State
from apps.compute.models import Attempt
from apps.credentials import services as credentials
from apps.experiments import logs, samples, snippets
from apps.experiments.forms import CLONED
from apps.experiments.models import Experiment
from apps.experiments.views import tabs
from apps.experiments.views.tabs import MOST
from apps.quotas.choices import family
from apps.quotas.forms import write_amount
from apps.quotas.models import QuotaNode

_TAIL_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Act:
    """One button: allowed, or disabled with the reason."""

    name: str
    label: str
    icon: str
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return not self.reason


def acts_on(experiment: Experiment, user: Any) -> dict[str, Act]:
    """Return the actions with what forbids each: first the state, then the policy."""
    workload = experiment.workload
    state = workload.state
    by_state = {
        "stop": "" if state in ACTIVE else f"It has already {state}.",
        "retry": "" if state in TERMINAL - {State.SUCCEEDED} else f"It is {state}; there is nothing to retry.",
        "clone": "",
        "delete": "" if state in TERMINAL else f"It is {state}. Stop it first.",
    }
    if state in ACTIVE and workload.desired_state == DesiredState.STOP:
        by_state["stop"] = "It was asked to stop already."
    words = {"stop": "Stop", "retry": "Retry", "clone": "Clone", "delete": "Delete"}
    icons = {"delete": "trash"}
    found = {}
    for name, label in words.items():
        decision = policy.decide(policy.in_person(user), name, experiment)
        reason = "" if decision.allowed else decision.reason
        found[name] = Act(name, label, icons.get(name, name), reason or by_state[name])
    return found


class RunPage(GuardedView):
    """What the tabs share."""

    shared_as: ClassVar[str] = "experiment"
    policy_action: ClassVar[str] = "view"
    tab: ClassVar[str] = "experiment"
    template: ClassVar[str]

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        context = {
            "frame": "experiments/run.html",
            "experiment": experiment,
            "workload": experiment.workload,
            "run": experiment.run,
            "acts": acts_on(experiment, self.user),
            "is_active": experiment.workload.state in ACTIVE,
            "tab": self.tab,
        }
        return render(request, self.template, context | self.context(experiment))

    def context(self, experiment: Experiment) -> dict[str, Any]:
        raise NotImplementedError


class OverviewView(RunPage):
    template: ClassVar[str] = "experiments/overview.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        spec = {**_pinned(experiment), "project": experiment.run.project.name}
        return {
            **tabs.records(experiment.run, by=self.user),
            "used": samples.used_by(_measured(experiment), experiment.workload.amounts),
            "yaml": snippets.as_yaml(spec),
            "cli": snippets.as_cli(spec),
            "python": snippets.as_python(spec),
            "credentials": credentials.used_by(f"run:{experiment.pk}", by=self.user),
            "command": _command(experiment.spec),
            **why_context(experiment, self.user),
        }


def _pinned(experiment: Experiment) -> dict[str, Any]:
    """Return the specification, with the commit it ran where that is known: so that it means the same elsewhere, and later."""
    source, spec = experiment.source, dict(experiment.spec)
    if source is None or not source.commit:
        return spec
    branch = {"branch": source.branch} if source.branch else {}
    return {**spec, "code": {"git": {**spec["code"]["git"], "ref": source.commit, **branch}}}


def _measured(experiment: Experiment) -> Attempt | None:
    """Return the latest attempt of which is known what it used."""
    found: Attempt | None = experiment.workload.attempts.exclude(measured_at=None).order_by("-no").first()
    return found


def why_context(experiment: Experiment, user: Any) -> dict[str, Any]:
    """Return what the panel shows that says why an experiment waits; nothing once it waits no more.

    SECURITY: its place is the one among what the person may see.
    """
    workload = experiment.workload
    if workload.state != State.QUEUED:
        return {"why": None}
    sees_all = user.is_superuser or user.is_auditor
    queued = Experiment.objects.visible_to(user, "view").live().filter(workload__state=State.QUEUED)
    found = why.explain(
        workload, by=user, seen=None if sees_all else queued.order_by().values_list("workload", flat=True)
    )
    nodes = [obstacle.node_id for obstacle in found.obstacles]
    return {
        "why": found,
        "askable": set(QuotaNode.objects.visible_to(user, "request").filter(pk__in=nodes).values_list("pk", flat=True)),
        "smaller": _smaller(found),
        "taken": workload.events.filter(to_state=State.QUEUED, reason="Preempted").order_by("-seq").first(),
    }


def _smaller(found: why.Why) -> str:
    """Return, as a query, what a copy would ask for that fits now; "" where the form has no field for what is short."""
    fits: dict[str, int] = {}
    for resource, most in found.fits.items():
        fits[family(resource)] = min(most, fits.get(family(resource), most))
    if not set(fits) <= set(CLONED):
        return ""
    return urlencode({resource: write_amount(resource, most) for resource, most in fits.items()})


def _command(spec: dict[str, Any]) -> str:
    command = spec.get("command", "")
    return command if isinstance(command, str) else " ".join(command)


class WhyView(GuardedView):
    """The panel alone, asked for again and again while it waits."""

    shared_as: ClassVar[str] = "experiment"
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        context = {"run": experiment.run, "workload": experiment.workload, **why_context(experiment, self.user)}
        return render(request, "experiments/_partials/why.html", context)


class MetricsView(RunPage):
    tab: ClassVar[str] = "experiment-metrics"
    template: ClassVar[str] = "runs/metrics.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        return tabs.metrics(experiment.run, experiment.workload.amounts)


class MediaView(RunPage):
    tab: ClassVar[str] = "experiment-media"
    template: ClassVar[str] = "runs/media.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        return tabs.media(experiment.run, self.request.GET, by=self.user)


class ArtifactsView(RunPage):
    tab: ClassVar[str] = "experiment-artifacts"
    template: ClassVar[str] = "runs/artifacts.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        return tabs.artifacts(experiment.run, self.request.GET, by=self.user)


class LogsView(RunPage):
    policy_action: ClassVar[str] = "logs"
    tab: ClassVar[str] = "experiment-logs"
    template: ClassVar[str] = "experiments/logs.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        asked = self.request.GET.get("attempt", "")
        number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 8 else None  # noqa: PLR2004 -- digits
        attempt = logs.attempt_of(experiment, number)
        piece = logs.read_text(attempt, offset=-_TAIL_BYTES, limit=_TAIL_BYTES)
        return {
            "piece": piece,
            "attempt": attempt,
            "attempts": list(experiment.workload.attempts.order_by("no")[:MOST]),
        }


class EventsView(RunPage):
    tab: ClassVar[str] = "experiment-events"
    template: ClassVar[str] = "experiments/events.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        return {"events": experiment.workload.events.order_by("-seq")[:MOST]}


class HistoryView(RunPage):
    tab: ClassVar[str] = "experiment-history"
    template: ClassVar[str] = "runs/history.html"

    @override
    def context(self, experiment: Experiment) -> dict[str, Any]:
        lines, page = lines_of(experiment, by=self.user, page=self.request.GET.get("page", "1"))
        return {"lines": lines, "page": page}


class StatusView(GuardedView):
    """The part of the header that changes; with it the buttons, when the state is no longer the one shown."""

    shared_as: ClassVar[str] = "experiment"
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        experiment: Experiment = self.find(Experiment.objects.live().with_details(), pk=pk)
        workload = experiment.workload
        shown = request.GET.get("shown", "")
        context = {
            "experiment": experiment,
            "workload": workload,
            "run": experiment.run,
            "is_active": workload.state in ACTIVE,
        }
        if shown != f"{workload.state}-{workload.desired_state}":
            context |= {"acts": acts_on(experiment, self.user), "news": True}
        return render(request, "experiments/_partials/status.html", context)
