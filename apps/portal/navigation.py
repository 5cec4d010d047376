"""Where the palette can take one, and what it finds."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from apps.environments.models import Environment
from apps.experiments.models import Experiment
from apps.models.models import RegisteredModel
from apps.teams.models import Team
from apps.tracking.models import Project

_EACH = 6


@dataclass(frozen=True, slots=True)
class Entry:
    label: str
    url: str
    icon: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    title: str
    entries: list[Entry]


_ACTIONS = (
    ("New experiment", "experiment-new", "plus"),
    ("Home", "home", "home"),
    ("Experiments", "experiment-list", "flask"),
    ("Projects", "project-list", "folder"),
    ("Models", "registeredmodel-list", "box"),
    ("New model", "registeredmodel-new", "plus"),
    ("Approvals of model moves", "registeredmodel-approvals", "inbox"),
    ("Environments", "environment-list", "building"),
    ("New environment", "environment-new", "plus"),
    ("Teams", "team-list", "people"),
    ("Credentials", "credential-list", "lock"),
    ("New credential", "credential-new", "plus"),
    ("Usage and cost", "usage", "gauge"),
    ("Queue", "usage-queue", "clock"),
    ("Ask for more resources", "usage-ask", "plus"),
    ("Requests for more resources", "usage-requests", "inbox"),
    ("Access tokens", "token-list", "key"),
)


def find(text: str, *, user: Any) -> list[Group]:
    """Return what the person may see or do that matches `text`; without text, actions and the newest experiments."""
    wanted = text.replace("\x00", "").strip()[:200]
    groups = [
        Group("Go to", _actions(wanted)),
        Group("Experiments", _experiments(wanted, user)),
        Group("Models", _models(wanted, user) if wanted else []),
        Group("Environments", _environments(wanted, user) if wanted else []),
        Group("Projects", _projects(wanted, user) if wanted else []),
        Group("Teams", _teams(wanted, user) if wanted else []),
    ]
    return [group for group in groups if group.entries]


def _actions(text: str) -> list[Entry]:
    return [Entry(label, reverse(name), icon) for label, name, icon in _ACTIONS if text.lower() in label.lower()]


def _experiments(text: str, user: Any) -> list[Entry]:
    rows = Experiment.objects.visible_to(user, "view").live().with_details()
    found = rows.filter(run__name__icontains=text).order_by("-pk")[:_EACH]
    return [
        Entry(
            row.run.name,
            reverse("experiment", args=[row.pk]),
            "flask",
            f"{row.workload.state} · {row.run.project.name}",
        )
        for row in found
    ]


def _models(text: str, user: Any) -> list[Entry]:
    rows = RegisteredModel.objects.visible_to(user, "view").live().filter(name__icontains=text)
    found = rows.select_related("team", "owner").order_by("-pk")[:_EACH]
    return [
        Entry(row.name, reverse("registeredmodel", args=[row.pk]), "box", f"model of {row.team or row.owner}")
        for row in found
    ]


def _environments(text: str, user: Any) -> list[Entry]:
    rows = Environment.objects.visible_to(user, "view").live().filter(name__icontains=text)
    found = rows.select_related("team", "owner").order_by("-pk")[:_EACH]
    return [
        Entry(row.name, reverse("environment", args=[row.pk]), "building", f"environment of {row.team or row.owner}")
        for row in found
    ]


def _projects(text: str, user: Any) -> list[Entry]:
    rows = Project.objects.visible_to(user, "view").filter(archived_at=None, name__icontains=text)
    found = rows.select_related("team", "owner").order_by("-pk")[:_EACH]
    return [
        Entry(row.name, reverse("project", args=[row.pk]), "folder", f"project of {row.team or row.owner}")
        for row in found
    ]


def _teams(text: str, user: Any) -> list[Entry]:
    rows = Team.objects.visible_to(user, "view").filter(name__icontains=text).order_by("name")
    return [Entry(row.name, reverse("team", args=[row.slug]), "people") for row in rows[:_EACH]]
