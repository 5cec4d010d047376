"""An upgrade keeps what is there: a database of an older release, with rows, is migrated to this one."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.apps import apps as installed
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from pytest_django import DjangoDbBlocker

from apps.audit.models import AuditEvent
from apps.compute.models import Attempt, Workload, WorkloadEvent
from apps.credentials.models import Credential
from apps.experiments.models import Experiment
from apps.quotas.models import QuotaLimit
from apps.teams.models import Membership, Team
from apps.tracking.models import Param, Run, RunUserGrant

Target = tuple[str, str]
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
# The first state that has every table that is filled below.
FIRST = [
    ("access", "0002_initial"),
    ("accounts", "0001_initial"),
    ("audit", "0002_append_only"),
    ("compute", "0003_state_guards"),
    ("credentials", "0001_credentials_and_their_keys"),
    ("experiments", "0002_initial"),
    ("quotas", "0001_initial"),
    ("teams", "0001_initial"),
    ("tracking", "0001_initial"),
]


@pytest.fixture
def elsewhere(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database of its own, empty, behind the usual connection."""
    name, usual = f"upgrade_{uuid4().hex}", connection.settings_dict["NAME"]
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        _connect_to(name)
        yield
        _connect_to(usual)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _connect_to(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


def _last_but_one() -> list[Target]:
    """The state before the latest migration of each app of ours, as far as no other app needs that one."""
    graph = MigrationExecutor(connection).loader.graph
    ours = {config.label for config in installed.get_app_configs() if config.name.startswith("apps.")}
    before = {
        leaf: leaf if leaf in FIRST else parent.key
        for leaf in graph.leaf_nodes()
        for parent in sorted(graph.node_map[leaf].parents)  # the last of its app stays
        if leaf[0] in ours and parent.key[0] == leaf[0]
    }
    needed = {key for target in before.values() for key in graph.forwards_plan(target)}
    return [target for leaf, target in before.items() if leaf not in needed or target == leaf]


class Older:
    """Rows written through the models as they were; what a model did not have yet is left out."""

    def __init__(self, models: Any) -> None:
        self.models = models

    def make(self, label: str, /, **facts: Any) -> Any:
        model = self.models.get_model(label)
        known = {name for field in model._meta.get_fields() for name in (field.name, getattr(field, "attname", ""))}
        return model._base_manager.create(**{name: value for name, value in facts.items() if name in known})

    def group(self, name: str) -> Any:
        return self.make("auth.Group", name=name)

    def fill(self) -> dict[str, Any]:
        """Write one of everything that somebody would miss."""
        acme = self.make("teams.Organization", slug="acme", name="Acme", group=self.group("org:acme"))
        team = self.make("teams.Team", organization=acme, slug="vision", name="Vision", group=self.group("team:vision"))
        ana, dana = (self.person(name) for name in ("ana", "dana"))
        sre = self.person("sre", is_staff=True, is_superuser=True, platform_role="admin")
        self.make("teams.Membership", team=team, user=ana, role="maintainer")
        ana.groups.add(team.group, *filter(None, [getattr(acme, "group", None)]))
        self.make(
            "accounts.ApiToken", id=uuid4(), user=ana, name="ci", digest="d" * 64, prefix="fth_pat_", scopes=["all"]
        )
        run = self.run(team, ana)
        self.make("tracking.RunUserGrant", user=dana, content_object=run, permission=self.permission(run))
        self.make("audit.AuditEvent", action="submit", object_type="tracking.run", object_id=str(run.pk),
            actor=ana, actor_id=ana.pk, actor_label="ana", origin="api", data={"kept": True}, at=THEN)  # fmt: skip
        self.credential(team, ana)
        return {"run": run.pk, "sre": sre.pk}

    def person(self, name: str, **facts: Any) -> Any:
        return self.make("accounts.User", username=name, password="!", email=f"{name}@acme.example", **facts)

    def permission(self, run: Any) -> Any:
        kind, _ = self.models.get_model("contenttypes.ContentType").objects.get_or_create(
            app_label="tracking", model="run"
        )
        return self.make("auth.Permission", content_type=kind, codename="hold_viewer", name="Hold the role viewer")

    def run(self, team: Any, owner: Any) -> Any:
        """A run that ended, with its workload, attempt and reservation's place in the tree."""
        project = self.make("tracking.Project", id=uuid4(), owner=owner, team=team, visibility="team", name="p")
        run = self.make("tracking.Run", id=uuid4(), owner=owner, team=team, visibility="team", project=project,
            name="r", status="finished", created_at=THEN)  # fmt: skip
        self.make("tracking.Param", run=run, key="lr", value="0.1")
        node = self.models.get_model("quotas.QuotaNode").objects.filter(key="platform").first() or self.make(
            "quotas.QuotaNode", key="platform", kind="platform", name="Platform", path=[], depth=0)  # fmt: skip
        limits = self.models.get_model("quotas.QuotaLimit")
        ceiling = {"ceiling": 64_000} if any(field.name == "ceiling" for field in limits._meta.fields) else {}
        limits.objects.update_or_create(node=node, resource="cpu", defaults={"limit": 64_000, "used": 0, **ceiling})
        cluster = self.make("compute.Cluster", id=uuid4(), name="old", kind="fake", settings={})
        workload = self.make("compute.Workload", id=run.pk, user=owner, team=team, label="r", subject=f"run:{run.pk}",
            template={}, quota_node=node, amounts={}, cluster=cluster, state="queued")  # fmt: skip
        self.make("experiments.Experiment", run=run, workload=workload, kind="shell", spec={"command": "true"})
        self.make(
            "compute.Attempt", id=uuid4(), workload=workload, no=1, cluster=cluster, handle="fth-1", verdict="succeeded"
        )
        self.make("compute.WorkloadEvent", workload=workload, seq=1, to_state="queued", actor="ana")
        return run

    def credential(self, team: Any, owner: Any) -> None:
        self.make("credentials.Credential", id=uuid4(), owner=owner, team=team, visibility="team", name="hub",
            kind="generic", fingerprint="f" * 8, public={}, version=1, created_by=owner)  # fmt: skip


def _migrate(targets: list[Target]) -> Any:
    MigrationExecutor(connection).migrate(targets)
    return MigrationExecutor(connection).loader.project_state(targets).apps


@pytest.mark.parametrize("before", ["last but one", "first"])
def test_rows_of_an_older_release_survive_the_upgrade(before: str, elsewhere: None) -> None:
    older = Older(_migrate(_last_but_one() if before == "last but one" else FIRST))
    made = older.fill()
    _migrate(MigrationExecutor(connection).loader.graph.leaf_nodes())
    _assert_all_is_there(made["run"])
    user = Membership.objects.get().user
    assert (user.username, user.email, user.is_active, user.identity_source) == (
        "ana",
        "ana@acme.example",
        True,
        "local",
    )
    admins = type(user).objects.filter(platform_role="admin").values_list("pk", flat=True)
    assert list(admins) == [made["sre"]]
    event = AuditEvent.objects.get(action="submit")
    assert (event.actor, event.object_id, event.data, event.at) == (user, str(made["run"]), {"kept": True}, THEN)
    assert event.outcome == "ok"


def _assert_all_is_there(pk: UUID) -> None:
    run = Run.objects.select_related("owner", "team__organization").get()
    assert (run.pk, run.owner.username, run.team.slug, run.created_at) == (pk, "ana", "vision", THEN)
    team = Team.objects.get()
    assert (team.organization.slug, team.archived_at) == ("acme", None)
    assert team.organization.group is not None  # one was made where there was none
    assert set(run.owner.groups.all()) >= {team.group, team.organization.group}
    assert Param.objects.get().value == "0.1"
    assert RunUserGrant.objects.get().user.username == "dana"
    assert Workload.objects.get().pk == Experiment.objects.get().workload_id == Attempt.objects.get().workload_id == pk
    assert WorkloadEvent.objects.get().to_state == "queued"
    assert Credential.objects.get().name == "hub"
    assert QuotaLimit.objects.get(node__key="platform", resource="cpu").limit == 64_000
    assert run.owner.api_tokens.get().addresses == []
