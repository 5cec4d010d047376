"""Everything that is saved in the admin is saved by a service: audited, refused in words, or not at all."""

from typing import Any

import pytest
from django.test import Client

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.compute.models import Cluster
from apps.teams import services as teams
from apps.teams.models import Membership, Organization, Team
from tests.admin.test_access import url_of

SECRET = "s3cr3t-sentinel"


def last_event() -> tuple[str, str, str, str]:
    event = AuditEvent.objects.latest("pk")
    return event.action, event.object_type, event.actor_label, event.origin


def test_user_with_password(browser: Client, client: Client) -> None:
    data = {"username": "nora", "email": "nora@example.org", "password": "long enough to pass"}
    answer = browser.post(url_of("accounts.user", "add"), data)
    assert answer.status_code == 302
    nora = User.objects.get(username="nora")
    assert (nora.email, nora.platform_role) == ("nora@example.org", "")
    assert client.login(username="nora", password="long enough to pass")
    assert last_event() == ("create", "accounts.user", "sre", "admin")
    assert "long enough" not in str(AuditEvent.objects.latest("pk").data)


def test_networks_of_a_token(browser: Client, alice: User) -> None:
    token, _ = accounts.issue_token(alice, by=alice, name="ci")
    url = url_of("accounts.apitoken", "change", token.pk)
    events = AuditEvent.objects.count()
    assert "Say why." in browser.post(url, {"addresses": "10.0.0.0/8"}).text
    wrong = browser.post(url, {"addresses": "10.0.0.1/8", "reason": "moved"})
    assert "has host bits set" in wrong.text
    assert "10.0.0.1/8</textarea>" in wrong.text
    assert AuditEvent.objects.count() == events
    assert browser.post(url, {"addresses": "10.0.0.0/8\n192.0.2.7", "reason": "moved"}).status_code == 302
    token.refresh_from_db()
    assert token.addresses == ["10.0.0.0/8", "192.0.2.7/32"]
    assert last_event() == ("set_addresses", "accounts.apitoken", "sre", "admin")
    assert AuditEvent.objects.latest("pk").reason == "moved"
    accounts.revoke_token(token, by=alice)
    assert browser.post(url, {"addresses": "", "reason": "back"}).status_code == 403
    assert 'name="addresses"' not in browser.get(url).text


def test_user_without_password_and_operator(browser: Client) -> None:
    browser.post(
        url_of("accounts.user", "add"), {"username": "robot", "email": "", "password": "", "platform_role": "admin"}
    )
    robot = User.objects.get(username="robot")
    assert not robot.has_usable_password()
    assert robot.platform_role == "admin"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"username": "nora", "password": "12345"}, "too short"),
        ({"username": "no/slash", "password": ""}, "valid username"),
        ({"username": "sre", "password": ""}, "already exists"),
        ({"username": "SRE\x00", "password": ""}, "Null characters"),
    ],
)
def test_refused_user_is_not_saved_and_the_form_is_kept(data: dict[str, str], sentence: str, browser: Client) -> None:
    events = AuditEvent.objects.count()
    answer = browser.post(url_of("accounts.user", "add"), {"email": "kept@example.org", **data})
    assert answer.status_code == 200
    assert sentence in answer.text
    assert "kept@example.org" in answer.text
    assert User.objects.count() == 1
    assert AuditEvent.objects.count() == events


def test_organization_and_team(browser: Client) -> None:
    browser.post(url_of("teams.organization", "add"), {"name": "Acme", "slug": "acme"})
    organization = Organization.objects.get(slug="acme")
    assert last_event() == ("create", "teams.organization", "sre", "admin")
    browser.post(url_of("teams.team", "add"), {"organization": organization.pk, "name": "Vision", "slug": "vision"})
    team = Team.objects.get(slug="vision")
    assert team.group.name == "team:vision"
    assert last_event() == ("create", "teams.team", "sre", "admin")


def members_form(team: Team, *rows: dict[str, Any]) -> dict[str, Any]:
    known = team.memberships.count()
    data: dict[str, Any] = {"name": team.name, "memberships-TOTAL_FORMS": len(rows), "memberships-INITIAL_FORMS": known}
    for no, row in enumerate(rows):
        data |= {f"memberships-{no}-{name}": value for name, value in {"team": team.pk, **row}.items()}
    return data


@pytest.fixture
def team(db: None) -> Team:
    organization = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
    return teams.create_team(organization, slug="vision", name="Vision", by=SYSTEM)


def test_members_are_added_changed_and_removed(browser: Client, alice: User, team: Team) -> None:
    url = url_of("teams.team", "change", team.pk)
    browser.post(url, members_form(team, {"user": alice.pk, "role": "member"}))
    membership = Membership.objects.get(team=team, user=alice)
    assert membership.role == "member"
    assert team.group in alice.groups.all()
    assert last_event() == ("set_member", "teams.team", "sre", "admin")
    browser.post(url, members_form(team, {"id": membership.pk, "user": alice.pk, "role": "maintainer"}))
    membership.refresh_from_db()
    assert membership.role == "maintainer"
    gone = {"id": membership.pk, "user": alice.pk, "role": "maintainer", "DELETE": "on"}
    browser.post(url, members_form(team, gone))
    assert not Membership.objects.exists()
    assert team.group not in alice.groups.all()
    assert last_event() == ("remove_member", "teams.team", "sre", "admin")


def test_membership_cannot_be_handed_to_somebody_else(browser: Client, alice: User, halfway: User, team: Team) -> None:
    membership = teams.set_member(team, alice, role="maintainer", by=SYSTEM)
    forged = {"id": membership.pk, "user": halfway.pk, "role": "viewer"}
    browser.post(url_of("teams.team", "change", team.pk), members_form(team, forged))
    assert list(Membership.objects.values_list("user__username", "role")) == [("alice", "viewer")]
    assert not halfway.groups.exists()


def test_a_team_is_renamed_and_its_slug_is_not_taken_from_a_post(browser: Client, team: Team) -> None:
    browser.post(url_of("teams.team", "change", team.pk), {**members_form(team), "name": "Other", "slug": "other"})
    team.refresh_from_db()
    assert (team.name, team.slug) == ("Other", "vision")
    assert last_event() == ("rename", "teams.team", "sre", "admin")


def cluster_form(**more: Any) -> dict[str, Any]:
    return {"name": "gpu", "is_enabled": "on", "labels": '{"zone": "a"}', **more}


def test_cluster_asks_for_its_kind_first(browser: Client) -> None:
    question = browser.get(url_of("compute.cluster", "add")).text
    assert "?kind=local" in question
    assert "?kind=fake" in question
    form = browser.get(url_of("compute.cluster", "add") + "?kind=local").text
    assert 'name="setting_jobs_root"' in form


def test_cluster_is_registered_with_its_settings(browser: Client) -> None:
    lines = "/data\r\n /models \r\n\r\n"
    chosen = cluster_form(setting_jobs_root="/srv/jobs", setting_readable_paths=lines, setting_max_processes="64")
    defaults = {"setting_sandbox": "auto", "setting_uid_base": "2000000", "setting_cgroup_parent": "fathom"}
    answer = browser.post(url_of("compute.cluster", "add") + "?kind=local", {**chosen, **defaults})
    assert answer.status_code == 302
    cluster = Cluster.objects.get(name="gpu")
    assert (cluster.kind, cluster.labels) == ("local", {"zone": "a"})
    stored = {"jobs_root": "/srv/jobs", "readable_paths": ["/data", "/models"], "max_processes": 64, "limits": False}
    assert cluster.settings == stored  # what is as the backend would have it is not stored
    assert last_event() == ("create", "compute.cluster", "sre", "admin")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"setting_jobs_root": "jobs"}, "jobs_root: expected an absolute path"),
        ({"setting_jobs_root": "/j", "setting_sandbox": "wish"}, "sandbox: expected one of"),
        ({"setting_jobs_root": "/j", "setting_max_processes": "many"}, "Enter a whole number"),
        ({"setting_jobs_root": "/j", "labels": "[1]"}, "A JSON object."),
        ({"setting_jobs_root": "/j", "labels": "{"}, "Enter a valid JSON"),
        ({"setting_jobs_root": "/j", "name": "with space"}, "valid"),
    ],
)
def test_refused_cluster_is_not_saved_and_the_form_is_kept(
    more: dict[str, str], sentence: str, browser: Client
) -> None:
    events = AuditEvent.objects.count()
    data = {**cluster_form(setting_cgroup_parent="typed-by-hand"), **more}
    answer = browser.post(url_of("compute.cluster", "add") + "?kind=local", data)
    assert answer.status_code == 200
    assert sentence in answer.text
    assert "typed-by-hand" in answer.text
    assert not Cluster.objects.exists()
    assert AuditEvent.objects.count() == events


def test_cluster_can_be_disabled(browser: Client) -> None:
    cluster = Cluster.objects.create(name="gpu", kind="fake", settings={"world": "w"})
    answer = browser.post(
        url_of("compute.cluster", "change", cluster.pk),
        {"name": "gpu", "labels": "{}", "setting_world": "w", "setting_live": "on"},
    )
    assert answer.status_code == 302
    cluster.refresh_from_db()
    assert (cluster.is_enabled, cluster.settings) == (False, {"world": "w"})
    assert last_event() == ("update", "compute.cluster", "sre", "admin")


def test_state_of_a_cluster_is_not_taken_from_a_post(browser: Client) -> None:
    cluster = Cluster.objects.create(name="gpu", kind="fake")
    forged = {"state": "ok", "message": "fine", "is_drained": "on", "kind": "local", "capacity": "{}"}
    browser.post(url_of("compute.cluster", "change", cluster.pk), {**cluster_form(setting_live="on"), **forged})
    cluster.refresh_from_db()
    assert (cluster.state, cluster.message, cluster.is_drained, cluster.kind) == ("unknown", "", False, "fake")
    assert cluster.labels == {"zone": "a"}


def test_secret_setting_is_written_and_never_shown(browser: Client, secretive: str) -> None:
    add = url_of("compute.cluster", "add") + f"?kind={secretive}"
    browser.post(add, cluster_form(setting_address="here", setting_password=SECRET))
    cluster = Cluster.objects.get(name="gpu")
    assert cluster.settings == {"address": "here", "password": SECRET}
    page = url_of("compute.cluster", "change", cluster.pk)
    refused = cluster_form(setting_address="nowhere", setting_password=SECRET)
    seen = [
        browser.get(page),
        browser.post(page, refused),
        browser.get(url_of("compute.cluster", "history", cluster.pk)),
        browser.get(url_of("compute.cluster", "changelist")),
        browser.get(url_of("audit.auditevent", "change", AuditEvent.objects.latest("pk").pk)),
    ]
    assert [answer.status_code for answer in seen] == [200] * 5
    assert "there is no such place" in seen[1].text
    assert not [answer for answer in seen if SECRET in answer.text]
    assert SECRET not in str(list(AuditEvent.objects.values()))


def test_empty_secret_keeps_the_old_one(browser: Client, secretive: str) -> None:
    cluster = Cluster.objects.create(name="gpu", kind=secretive, settings={"address": "here", "password": SECRET})
    browser.post(
        url_of("compute.cluster", "change", cluster.pk), cluster_form(setting_address="there", setting_password="")
    )
    cluster.refresh_from_db()
    assert cluster.settings == {"address": "there", "password": SECRET}
    browser.post(
        url_of("compute.cluster", "change", cluster.pk), cluster_form(setting_address="", setting_password="new")
    )
    cluster.refresh_from_db()
    assert cluster.settings == {"password": "new"}
