"""Rules, the dry run and the sync against a real server."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, LoginFailure, User
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid, NotAllowed, NotAuthenticated, Stale, Unready
from apps.directory import services
from apps.directory.models import DirectoryRule, DirectorySync
from apps.teams import services as teams
from apps.teams.models import Membership
from tests.directory.conftest import use
from tests.directory.slapd import PASSWORD, Slapd, dn_of, group_dn
from tests.people import Cast

pytestmark = pytest.mark.django_db


def rule(cast: Cast, group: str, role: str = "member", **more: Any) -> DirectoryRule:
    more.setdefault("team", cast.team)
    return services.save_rule(DirectoryRule(source="ldap", group=group, role=role, **more), by=SYSTEM)


def told() -> list[str]:
    return [str(change) for change in services.preview(by=SYSTEM).changes]


def memberships(name: str) -> dict[str, tuple[str, str]]:
    rows = Membership.objects.filter(user__username=name).values_list("team__slug", "role", "source")
    return {team: (role, source) for team, role, source in rows}


def everything() -> list[Any]:
    """All that a sync could change."""
    return [
        list(User.objects.order_by("pk").values()),
        list(Membership.objects.order_by("pk").values()),
        list(ApiToken.objects.order_by("pk").values()),
        list(User.groups.through.objects.order_by("pk").values()),
    ]


@pytest.mark.parametrize(
    "group", ["vision-core", "vision", "research", group_dn("Research"), group_dn("vision").upper()]
)
def test_nested_groups_give_a_team_at_login(group: str, slapd: Slapd, cast: Cast) -> None:
    rule(cast, group)
    user = accounts.log_in("ana", PASSWORD)
    assert memberships("ana") == {"vision": ("member", "directory")}
    assert set(user.groups.values_list("name", flat=True)) == {"team:vision", "org:acme"}
    accounts.log_in("dora", PASSWORD)
    assert memberships("dora") == {}


def test_groups_that_contain_each_other(slapd: Slapd, cast: Cast) -> None:
    rule(cast, "loop-b")
    accounts.log_in("carl", PASSWORD)
    assert memberships("carl") == {"vision": ("member", "directory")}
    assert told() == []  # the sync resolves nesting by itself and finds the same


def test_roles_by_order(slapd: Slapd, cast: Cast) -> None:
    rule(cast, "research", "member", order=20)
    rule(cast, "leads", "maintainer", order=10)
    for name in ("ana", "ben"):
        accounts.log_in(name, PASSWORD)
    assert memberships("ana") == {"vision": ("member", "directory")}
    assert memberships("ben") == {"vision": ("maintainer", "directory")}


def test_the_dry_run_says_who_gains_and_loses_and_the_sync_does_exactly_that(slapd: Slapd, cast: Cast) -> None:
    rule(cast, "research")
    for name in ("ana", "ben", "carl"):
        accounts.log_in(name, PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    slapd.change(dn_of("ben"), sn=["Wed"])
    slapd.remove_person("carl")
    rule(cast, "leads", "maintainer", order=1)
    before = everything()
    plan = services.preview(by=SYSTEM)
    assert [str(change) for change in plan.changes] == [
        "ana leaves vision, was member",
        "ben has a new last name",
        "ben becomes maintainer of vision, was member",
        "carl has left and is shut out",
    ]
    assert everything() == before
    done = services.sync(by=SYSTEM, digest=plan.digest)
    assert done.outcome == "done"
    assert done.changes == [str(change) for change in plan.changes]
    assert memberships("ana") == {}
    assert memberships("ben") == {"vision": ("maintainer", "directory")}
    assert User.objects.get(username="ben").last_name == "Wed"
    assert not User.objects.get(username="carl").is_active
    assert told() == []


def test_a_plan_that_is_no_longer_true_is_not_applied(slapd: Slapd, cast: Cast) -> None:
    rule(cast, "research")
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    seen = services.preview(by=SYSTEM)
    slapd.remove_person("ana")
    before = everything()
    with pytest.raises(Stale):
        services.sync(by=SYSTEM, digest=seen.digest)
    assert everything() == before
    assert not DirectorySync.objects.exists()


def test_what_a_hand_made_stays(slapd: Slapd, cast: Cast) -> None:
    rule(cast, "research", "viewer")
    user = accounts.log_in("ana", PASSWORD)
    teams.set_member(cast.other_team, user, role="maintainer", by=SYSTEM)
    teams.set_member(cast.team, user, role="maintainer", by=cast.mia)  # raised by the team's maintainer
    slapd.remove_members("vision-core", dn_of("ana"))
    assert services.sync(by=SYSTEM).outcome == "done"
    assert memberships("ana") == {"speech": ("maintainer", "hand"), "vision": ("maintainer", "hand")}
    accounts.log_in("ana", PASSWORD)
    assert memberships("ana") == {"speech": ("maintainer", "hand"), "vision": ("maintainer", "hand")}


def test_what_a_hand_takes_over_while_a_plan_is_applied_stays(slapd: Slapd, cast: Cast) -> None:
    from apps.directory.services.applying import Applying

    rule(cast, "research", "viewer")
    user = accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    plan = services.preview(by=SYSTEM)
    teams.set_member(cast.team, user, role="maintainer", by=cast.mia)
    Applying(plan).run()
    assert memberships("ana") == {"vision": ("maintainer", "hand")}


def test_local_people_are_nobodys_business(slapd: Slapd, cast: Cast) -> None:
    """bob is a local member; the directory has a bob in no group, and later none at all."""
    rule(cast, "research")
    slapd.add_person("bob")
    before = everything()
    assert services.sync(by=SYSTEM).outcome == "done"
    slapd.remove_person("bob")
    assert services.sync(by=SYSTEM).outcome == "done"
    assert everything() == before


def test_leavers_lose_their_tokens_and_come_back_by_themselves(slapd: Slapd, cast: Cast, settings: Any) -> None:
    user = accounts.log_in("ana", PASSWORD)
    accounts.log_in("ben", PASSWORD)
    accounts.issue_token(user, by=user, name="laptop")
    entry_uuid = user.external_id
    slapd.change(dn_of("ana"), description=["gone"])
    restricted = "(&(objectClass=person)(!(description=gone)))"
    settings.FATHOM_LDAP_USER_FILTER = restricted
    services.sync(by=SYSTEM)
    user.refresh_from_db()
    assert (user.is_active, user.left_directory_at is None) == (False, False)
    assert ApiToken.objects.get(user=user).revoked_at is not None
    settings.FATHOM_LDAP_USER_FILTER = "(objectClass=person)"
    services.sync(by=SYSTEM)
    user.refresh_from_db()
    assert (user.is_active, user.left_directory_at, user.external_id) == (True, None, entry_uuid)
    reasons = AuditEvent.objects.filter(
        object_type="accounts.user", object_id=str(user.pk), action__in=["disable", "enable"]
    )
    assert list(reasons.order_by("pk").values_list("reason", flat=True)) == [
        "no longer in the directory",
        "back in the directory",
    ]


def test_whom_a_person_shut_out_no_sync_lets_in(slapd: Slapd, cast: Cast) -> None:
    user = accounts.log_in("ana", PASSWORD)
    accounts.log_in("ben", PASSWORD)
    accounts.disable_user(user, by=cast.sre, reason="stole a GPU")
    services.sync(by=SYSTEM)
    user.refresh_from_db()
    assert not user.is_active


@pytest.mark.parametrize("shut_out", [accounts.disable_user, accounts.offboard_user])
def test_nor_one_whom_a_person_shut_out_after_the_sync_had(
    shut_out: Any, slapd: Slapd, cast: Cast, settings: Any
) -> None:
    user = accounts.log_in("ana", PASSWORD)
    accounts.log_in("ben", PASSWORD)
    settings.FATHOM_LDAP_USER_FILTER = "(&(objectClass=person)(!(uid=ana)))"
    services.sync(by=SYSTEM)
    shut_out(user, by=cast.sre, reason="and shall stay out")
    settings.FATHOM_LDAP_USER_FILTER = "(objectClass=person)"
    services.sync(by=SYSTEM)
    user.refresh_from_db()
    assert not user.is_active


def _crowd(slapd: Slapd, count: int) -> None:
    for number in range(count):
        slapd.add_person(f"p{number:02}")
        accounts.log_in(f"p{number:02}", PASSWORD)


def test_suspiciously_many_leavers_change_nothing(slapd: Slapd, cast: Cast, settings: Any) -> None:
    _crowd(slapd, 8)
    settings.FATHOM_LDAP_USER_FILTER = "(&(objectClass=person)(!(uid=p0*)))"
    before = everything()
    done = services.sync(by=SYSTEM)
    assert done.outcome == "held"
    assert done.message == "8 of 8 people of the directory (ldap) would be shut out. Nothing was changed."
    assert everything() == before
    plan = services.preview(by=SYSTEM)
    assert services.sync(by=SYSTEM, digest=plan.digest, force=True).outcome == "done"
    assert not User.objects.filter(identity_source="ldap", is_active=True).exists()


@pytest.mark.parametrize("trouble", ["down", "base", "password", "group base"])
def test_an_error_changes_nothing_and_is_told(trouble: str, slapd: Slapd, cast: Cast, settings: Any) -> None:
    rule(cast, "research")
    for name in ("ana", "ben"):
        accounts.log_in(name, PASSWORD)
    before = everything()
    if trouble == "down":
        slapd.stop()
    elif trouble == "base":
        settings.FATHOM_LDAP_USER_BASE = "ou=nowhere,dc=example,dc=org"
    elif trouble == "group base":
        settings.FATHOM_LDAP_GROUP_BASE = "ou=nowhere,dc=example,dc=org"
    else:
        use(settings, slapd, BIND_PASSWORD="wrong")
    with pytest.raises(Unready):
        services.preview(by=SYSTEM)
    done = services.sync(by=SYSTEM, force=True)
    assert done.outcome == "failed"
    assert done.message.startswith("The LDAP server did not give the list of people:")
    assert everything() == before
    assert done.changes == []


def test_a_large_directory_is_read_page_by_page(slapd: Slapd, cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.directory.ldap.reading._PAGE", 2)
    rule(cast, "research")
    for name in ("ana", "ben", "carl", "dora"):
        accounts.log_in(name, PASSWORD)
    assert (services.preview(by=SYSTEM).seen, told()) == (4, [])


def test_a_sync_may_make_accounts(slapd: Slapd, cast: Cast, settings: Any) -> None:
    rule(cast, "research")
    assert services.sync(by=SYSTEM).counts == {"seen": 4}
    settings.FATHOM_DIRECTORY_SYNC_CREATES = True
    assert services.sync(by=SYSTEM).counts == {"seen": 4, "create": 2, "join": 2}
    assert memberships("ana") == memberships("ben") == {"vision": ("member", "directory")}
    assert set(User.objects.filter(identity_source="ldap").values_list("username", flat=True)) == {"ana", "ben"}
    assert accounts.log_in("ana", PASSWORD).email == "ana@example.org"


def test_a_sync_that_meets_a_local_account_says_so_and_does_the_rest(slapd: Slapd, cast: Cast, settings: Any) -> None:
    settings.FATHOM_DIRECTORY_SYNC_CREATES = True
    slapd.add_person("alice")
    slapd.add_members("vision-core", dn_of("alice"))
    rule(cast, "research", "maintainer")
    alice = memberships("alice")
    done = services.sync(by=SYSTEM)
    assert done.outcome == "done"
    assert "alice is refused: a local account has this name" in done.message
    assert memberships("alice") == alice
    assert memberships("ana") == {"vision": ("maintainer", "directory")}


def test_platform_roles_only_where_it_is_said_aloud(slapd: Slapd, cast: Cast, settings: Any) -> None:
    made = {"team": None, "platform_role": "auditor"}
    with pytest.raises(Invalid, match="FATHOM_DIRECTORY_PLATFORM_ROLES"):
        rule(cast, "leads", "", **made)
    settings.FATHOM_DIRECTORY_PLATFORM_ROLES = True
    rule(cast, "leads", "", **made)
    settings.FATHOM_DIRECTORY_PLATFORM_ROLES = False
    assert accounts.log_in("ben", PASSWORD).platform_role == ""
    settings.FATHOM_DIRECTORY_PLATFORM_ROLES = True
    assert accounts.log_in("ben", PASSWORD).platform_role == "auditor"
    slapd.add_members("leads", dn_of("ana"))
    slapd.remove_members("leads", dn_of("ben"))
    accounts.log_in("ana", PASSWORD)
    assert told() == ["ben has the platform role none, had auditor"]
    services.sync(by=SYSTEM)
    assert User.objects.get(username="ben").platform_role == ""
    assert User.objects.get(username="ana").platform_role == "auditor"


def test_a_directory_that_was_rebuilt(slapd: Slapd, cast: Cast) -> None:
    """All entries have new ids: nobody gets in until an operator says so, one account at a time."""
    user = accounts.log_in("ana", PASSWORD)
    slapd.restore()
    with pytest.raises(NotAuthenticated):
        accounts.log_in("ana", PASSWORD)
    assert LoginFailure.objects.get().reason.startswith("the name belongs to another identity")
    out = StringIO()
    call_command("directory", "forget", "ana", "--reason", "the directory was rebuilt", stdout=out)
    assert accounts.log_in("ana", PASSWORD).pk == user.pk
    assert AuditEvent.objects.filter(action="forget_identity", object_id=str(user.pk)).count() == 1
    with pytest.raises(CommandError, match="belongs to no directory"):
        call_command("directory", "forget", "alice", "--reason", "no")


def test_rules_are_written_by_admins_only_and_audited(cast: Cast) -> None:
    made = DirectoryRule(source="ldap", group="research", team=cast.team, role="member")
    for person in (cast.alice, cast.mia, cast.aud):
        with pytest.raises(NotAllowed):
            services.save_rule(made, by=person)
    assert not DirectoryRule.objects.exists()
    services.save_rule(made, by=cast.sre)
    for person in (cast.alice, cast.mia, cast.aud):
        with pytest.raises(NotAllowed):
            services.delete_rule(made, by=person)
        with pytest.raises(NotAllowed):
            services.sync(by=person)
    with pytest.raises(NotAllowed):
        services.preview(by=cast.mia)
    pk = str(made.pk)
    services.delete_rule(made, by=cast.sre, reason="wrong")
    events = (
        AuditEvent.objects.filter(object_type="directory.directoryrule", object_id=pk)
        .exclude(actor_label="database")
        .order_by("pk")
    )
    assert [(event.action, event.data["group"]) for event in events] == [("create", "research"), ("delete", "research")]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"team": None}, "team"),
        ({"role": ""}, "role"),
        ({"platform_role": "admin"}, "team"),
        ({"group": "  "}, "group"),
        ({"role": "king"}, "role"),
    ],
)
def test_a_rule_gives_one_thing(fields: dict[str, Any], field: str, cast: Cast) -> None:
    with pytest.raises(Invalid) as refusal:
        services.save_rule(
            DirectoryRule(**{"source": "ldap", "group": "g", "team": cast.team, "role": "member", **fields}), by=SYSTEM
        )
    assert field in refusal.value.errors


def test_a_disabled_rule_gives_nothing(slapd: Slapd, cast: Cast) -> None:
    made = rule(cast, "research")
    accounts.log_in("ana", PASSWORD)
    made.enabled = False
    services.save_rule(made, by=SYSTEM)
    assert told() == ["ana leaves vision, was member"]


# --- The loop and the command -----------------------------------------------------------------------------------------


def test_a_sync_is_due_once_in_a_while(slapd: Slapd, settings: Any) -> None:
    settings.FATHOM_DIRECTORY_SYNC_MINUTES = 60
    assert "done" in services.sync_if_due()
    assert services.sync_if_due() == ""
    DirectorySync.objects.update(started_at=timezone.now() - timedelta(minutes=61))
    assert "done" in services.sync_if_due()
    settings.FATHOM_DIRECTORY_SYNC_MINUTES = 0
    DirectorySync.objects.all().delete()
    assert services.sync_if_due() == ""


@pytest.mark.django_db(transaction=True)
def test_the_worker_syncs(slapd: Slapd, settings: Any) -> None:
    import time

    from apps.directory.bootstep import SyncStep

    step = SyncStep(None)
    step.start(None)
    until = time.monotonic() + 20
    while not DirectorySync.objects.exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    step.stop(None)
    assert not step._thread.is_alive()
    assert DirectorySync.objects.get().outcome == "done"


def test_without_a_directory_the_worker_has_no_such_thread(settings: Any) -> None:
    from apps.directory.bootstep import SyncStep

    step = SyncStep(None)
    step.start(None)
    assert step._thread is None
    step.stop(None)


def test_the_command(slapd: Slapd, cast: Cast, settings: Any) -> None:
    def run(*words: str) -> str:
        out = StringIO()
        call_command("directory", *words, stdout=out)
        return out.getvalue()

    rule(cast, "research")
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    assert run("check").startswith("LDAP: 4 people, ")
    assert run("sync", "--dry-run") == "ana leaves vision, was member\n4 people read, 1 changes; nothing was changed\n"
    assert memberships("ana") == {"vision": ("member", "directory")}
    assert run("sync").startswith("ana leaves vision, was member\nsync of ")
    assert memberships("ana") == {}
    slapd.stop()
    for words in (("check",), ("sync", "--dry-run"), ("sync",)):
        with pytest.raises(CommandError, match="did not give the list"):
            run(*words)
    settings.FATHOM_LDAP_URL = []
    with pytest.raises(CommandError, match="No directory"):
        run("check")
