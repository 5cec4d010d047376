"""What triggers write: every change of a watched table, by whatever way it came, and nothing of what is hot or secret."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, User
from apps.audit import rows
from apps.audit.models import AuditEvent
from apps.audit.rows import audited
from apps.compute.models import Cluster
from apps.quotas import services as quotas
from apps.quotas.models import QuotaLimit, QuotaNode
from apps.teams import services as teams
from apps.teams.models import Membership, Team
from apps.tracking import services as tracking
from apps.tracking.models import Project
from tests.people import Cast, fake_cluster, submit

SECRET = "sesame-74b1"
WATCHED = {
    "accounts_recoverycode", "accounts_registration", "accounts_resetlink", "accounts_secondfactor",
    "credentials_credential", "credentials_credentialgroupgrant", "credentials_credentialusergrant",
    "credentials_datakey", "credentials_secretvalue", "directory_directoryrule", "teams_invitation",
    "accounts_apitoken", "accounts_user", "accounts_user_groups", "accounts_user_user_permissions", "auth_group",
    "auth_group_permissions", "compute_cluster", "quotas_quotalimit", "quotas_quotanode", "teams_membership",
    "teams_organization", "teams_team", "tracking_project", "tracking_projectgroupgrant", "tracking_projectusergrant",
    "tracking_rungroupgrant", "tracking_runusergrant", "quotas_resource", "quotas_quotadefault", "compute_priorityclass",
    "budgets_budget", "budgets_period", "budgets_price", "registry_alias", "registry_moverequest", "registry_protection",
    "environments_environment", "environments_environmentgroupgrant", "environments_environmentusergrant",
    "registry_registeredmodel", "registry_registeredmodelgroupgrant", "registry_registeredmodelusergrant",
}  # fmt: skip


class Since:
    """The row events after a moment."""

    def __init__(self) -> None:
        self._newest = AuditEvent.objects.latest("pk").pk

    def __iter__(self) -> Any:
        return iter(AuditEvent.objects.filter(pk__gt=self._newest, action__startswith="row.").order_by("pk"))

    def told(self) -> list[tuple[str, str, Any, Any]]:
        return [(row.action, row.data["table"], row.data["before"], row.data["after"]) for row in self]


def test_the_security_relevant_tables_are_watched(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE 'audit_update' AND tgenabled = 'O'"
        )
        assert {name for (name,) in cursor.fetchall()} == WATCHED
    assert rows.unwatched() == []


def test_a_row_event_says_what_changed_and_nothing_else(cast: Cast) -> None:
    seen = Since()
    Team.objects.filter(pk=cast.team.pk).update(name="Sight")
    (row,) = seen
    assert row.data == {
        "table": "teams_team",
        "before": {"name": "Vision"},
        "after": {"name": "Sight"},
        "session_user": connection.settings_dict["USER"] or row.data["session_user"],
        "application": row.data["application"],
    }
    told = (row.actor, row.actor_label, row.origin, row.object_type, row.object_id, row.organization_id, row.outcome)
    assert told == (None, "database", "database", "teams.team", str(cast.team.pk), cast.organization.pk, "ok")


def test_bulk_raw_sql_and_cascades_are_seen(cast: Cast) -> None:
    seen = Since()
    User.objects.filter(username__in=["alice", "bob"]).update(email="x@example.org")
    User.objects.bulk_create([User(username="new-1"), User(username="new-2")])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE teams_membership SET role = 'maintainer' WHERE user_id = %s", [cast.alice.pk])
        cursor.execute("DELETE FROM teams_membership WHERE team_id = %s", [cast.other_team.pk])
    told = [(row.action, row.object_type, row.object_id) for row in seen]
    created = [
        str(pk) for pk in User.objects.filter(username__startswith="new-").order_by("pk").values_list("pk", flat=True)
    ]
    assert sorted(told) == sorted([
        ("row.update", "accounts.user", str(cast.alice.pk)),
        ("row.update", "accounts.user", str(cast.bob.pk)),
        *(("row.insert", "accounts.user", pk) for pk in created),
        ("row.update", "teams.team", str(cast.team.pk)),
        ("row.delete", "teams.team", str(cast.other_team.pk)),
    ])  # fmt: skip


def test_rows_and_intent_share_their_transaction(cast: Cast) -> None:
    seen = Since()
    teams.set_member(cast.team, cast.charlie, role="member", by=cast.mia)
    intent = AuditEvent.objects.filter(action="set_member").latest("pk")
    found = list(seen)
    assert {row.data["table"] for row in found} == {"teams_membership", "accounts_user_groups"}
    assert {row.txid for row in found} == {intent.txid}
    assert {row.organization_id for row in [*found, intent]} == {cast.organization.pk}


def test_what_is_rolled_back_leaves_no_row(cast: Cast) -> None:
    seen = Since()
    with transaction.atomic():
        Team.objects.filter(pk=cast.team.pk).update(name="Sight")
        transaction.set_rollback(True)
    assert seen.told() == []


def test_secret_columns_say_only_that_they_changed(cast: Cast) -> None:
    seen = Since()
    cast.alice.set_password(SECRET)
    cast.alice.save()
    token, value = accounts.issue_token(cast.alice, by=SYSTEM, name="t")
    Cluster.objects.create(name="gpu", kind="fake", settings={"password": SECRET})
    User.objects.create(username="kim", password=f"plain {SECRET}")
    told = seen.told()
    assert [after["password"] for _, table, _, after in told if table == "accounts_user"] == ["changed", "changed"]
    assert [after["digest"] for _, table, _, after in told if table == "accounts_apitoken"] == ["changed"]
    assert [after["settings"] for _, table, _, after in told if table == "compute_cluster"] == ["changed"]
    whole = str(list(AuditEvent.objects.values()))
    for secret in (SECRET, value, token.digest, cast.alice.password):
        assert secret not in whole


def test_hot_columns_are_no_event(cast: Cast) -> None:
    cluster = fake_cluster()
    _, value = accounts.issue_token(cast.alice, by=SYSTEM, name="t")
    node = quotas.platform_node()
    quotas.set_limit(node, "cpu", 5, by=SYSTEM)
    seen = Since()
    accounts.authenticate_token(value)  # last_used_at, last_used_ip
    User.objects.filter(pk=cast.alice.pk).update(last_login=timezone.now())
    QuotaLimit.objects.filter(node=node).update(used=3)
    Cluster.objects.filter(pk=cluster.pk).update(state="down", message="x", warnings=["w"], capacity={"cpu": 1})
    accounts.issue_run_token(
        cast.alice, bound_to="run:1", purpose="p", scopes=["run:log"], expires_in=timedelta(hours=1)
    )
    ApiToken.objects.filter(kind="run").update(name="another")
    Team.objects.filter(pk=cast.team.pk).update(name=cast.team.name)  # to what it was
    assert seen.told() == []
    QuotaLimit.objects.filter(node=node, resource="cpu").update(used=4, limit=6)
    assert seen.told() == [("row.update", "quotas_quotalimit", {"limit": 5}, {"limit": 6})]


def test_a_token_does_not_hide_behind_the_kind_of_a_run(cast: Cast) -> None:
    token, _ = accounts.issue_token(cast.alice, by=SYSTEM, name="t")
    seen = Since()
    ApiToken.objects.filter(pk=token.pk).update(kind="run")
    ApiToken.objects.filter(pk=token.pk).update(scopes=["all"], kind="pat")
    assert len(seen.told()) == 2


def test_grants_are_filed_under_what_they_share(cast: Cast) -> None:
    experiment = submit(cast.alice, team=cast.team.slug, cluster={"name": fake_cluster().name})
    seen = Since()
    grants.grant(cast.dana, experiment.run, Role.EDITOR)
    grants.grant(cast.other_team.group, experiment.run.project, Role.VIEWER)
    grants.revoke(cast.dana, experiment.run)
    told = [(row.action, row.object_type, row.object_id, row.organization_id) for row in seen]
    run, project = str(experiment.pk), str(experiment.run.project_id)
    chain = cast.organization.pk
    of_project = chain if experiment.run.project.team_id else None
    assert told == [
        ("row.insert", "tracking.run", run, chain),
        ("row.insert", "tracking.project", project, of_project),
        ("row.delete", "tracking.run", run, chain),
    ]


@pytest.mark.parametrize("key", ["org:{org}", "team:{team}", "team:{team}/user:7", "user:7", "cluster:x"])
def test_the_quota_tree_is_in_its_organizations_chain(cast: Cast, key: str) -> None:
    """The database and the services give one answer to whose a node is."""
    named = key.format(org=cast.organization.pk, team=cast.team.pk)
    seen = Since()
    node = QuotaNode.objects.create(kind="user", key=named, name="n", depth=1, path=[1])
    quotas.set_limit(node, "cpu", 5, by=SYSTEM)
    expected = cast.organization.pk if key.startswith(("org", "team")) else None
    assert {row.organization_id for row in seen} == {expected}
    assert AuditEvent.objects.get(action="set_limit").organization_id == expected


def test_services_file_what_they_do_in_the_organizations_chain(cast: Cast) -> None:
    project = tracking.create_project("p", by=cast.mia, team=cast.team)
    mine = tracking.create_project("q", by=cast.mia)
    experiment = submit(cast.alice, team=cast.team.slug, cluster={"name": fake_cluster().name})
    found = {
        event.object_id: event.organization_id
        for event in AuditEvent.objects.filter(action__in=["create", "submit"], actor__isnull=False)
    }
    assert found[str(project.pk)] == found[str(experiment.pk)] == cast.organization.pk
    assert found[str(mine.pk)] is None


def test_to_empty_a_table_is_an_event(cast: Cast) -> None:
    seen = Since()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("TRUNCATE teams_membership")
    assert seen.told() == [("row.truncate", "teams_membership", {}, {})]


def test_a_declaration_watches_a_table_and_its_later_columns(db: None) -> None:
    operation = audited("planted_thing", secret=["hidden"], ignore=["hot"])
    statements = (
        "CREATE TABLE planted_thing (id bigserial PRIMARY KEY, name text, hidden text, hot int)",
        operation.sql,
        "ALTER TABLE planted_thing ADD later text",
        "INSERT INTO planted_thing (name, hidden, hot, later) VALUES ('a', 'b', 1, 'c')",
        "UPDATE planted_thing SET hot = 2",
        "UPDATE planted_thing SET later = 'd', hidden = 'e'",
    )
    Group.objects.create(name="first")
    seen = Since()
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(str(statement))
    assert seen.told() == [
        ("row.insert", "planted_thing", {}, {"id": 1, "name": "a", "hidden": "changed", "later": "c"}),
        ("row.update", "planted_thing", {"hidden": "changed", "later": "c"}, {"hidden": "changed", "later": "d"}),
    ]
    assert [row.object_type for row in seen] == ["planted.thing"] * 2


@pytest.mark.parametrize(
    "bad", [{"table": "a; DROP"}, {"table": "a_b", "secret": ["x'y"]}, {"table": "a_b", "key": "A"}]
)
def test_a_declaration_takes_plain_names_only(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="plain name"):
        audited(**bad)


def test_a_trigger_that_is_off_is_named(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE teams_membership DISABLE TRIGGER audit_update")
        cursor.execute("DROP TRIGGER audit_append_only ON audit_auditseal")
    assert rows.unwatched() == ["audit_auditseal.audit_append_only", "teams_membership.audit_update"]


def test_membership_of_a_project_by_columns_is_seen(cast: Cast) -> None:
    project = Project.objects.create(owner=cast.alice, name="p", team=cast.team)
    seen = Since()
    Project.objects.filter(pk=project.pk).update(visibility="public", owner=cast.mia)
    assert seen.told() == [
        (
            "row.update",
            "tracking_project",
            {"owner_id": cast.alice.pk, "visibility": "team"},
            {"owner_id": cast.mia.pk, "visibility": "public"},
        )
    ]
    assert Membership.objects.count() == 5
