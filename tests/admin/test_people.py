"""An SRE's work on people: editing, off-boarding, importing, inviting, approving, and keeping tokens in order."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, Registration, User
from apps.audit.models import AuditEvent
from apps.teams import services as teams
from apps.teams.models import Invitation, Membership, Team
from apps.tracking.models import Run
from tests.admin.rows import make_row
from tests.admin.test_access import url_of
from tests.admin.test_actions import do, told
from tests.admin.test_pages import assert_plain


@pytest.fixture
def team(db: None) -> Team:
    organization = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
    return teams.create_team(organization, slug="vision", name="Vision", by=SYSTEM)


def person_form(user: User, **changes: str) -> dict[str, str]:
    kept = {name: getattr(user, name) for name in ("username", "email", "first_name", "last_name", "platform_role")}
    return {**kept, **changes}


def test_a_person_is_edited(browser: Client, alice: User) -> None:
    url = url_of("accounts.user", "change", alice.pk)
    assert browser.post(url, person_form(alice, email="a@example.org", last_name="Liddell")).status_code == 302
    alice.refresh_from_db()
    assert (alice.email, alice.last_name, alice.platform_role) == ("a@example.org", "Liddell", "")
    event = AuditEvent.objects.get(action="update")
    assert event.data == {
        "before": {"email": "", "last_name": ""}, "after": {"email": "a@example.org", "last_name": "Liddell"},
    }  # fmt: skip


def test_another_platform_role_needs_a_reason(browser: Client, alice: User) -> None:
    url = url_of("accounts.user", "change", alice.pk)
    refused = browser.post(url, person_form(alice, platform_role="auditor"))
    assert "Say why the platform role changes." in refused.text
    alice.refresh_from_db()
    assert alice.platform_role == ""
    browser.post(url, person_form(alice, platform_role="auditor", reason="audits us"))
    alice.refresh_from_db()
    assert alice.platform_role == "auditor"
    assert AuditEvent.objects.get(action="set_platform_role").reason == "audits us"


def test_nobody_changes_his_own_role_here(browser: Client, sre: User) -> None:
    answer = browser.post(url_of("accounts.user", "change", sre.pk), person_form(sre, platform_role="", reason="x"))
    assert "You cannot change your own platform role" in answer.text
    sre.refresh_from_db()
    assert sre.platform_role == "admin"


def test_a_taken_name_is_refused_in_whatever_case(browser: Client, alice: User, halfway: User) -> None:
    answer = browser.post(url_of("accounts.user", "change", alice.pk), person_form(alice, username="HALFWAY"))
    assert "This name is taken." in answer.text
    alice.refresh_from_db()
    assert alice.username == "alice"


@pytest.mark.parametrize("question", ["people", "services", "disabled", "alone"])
def test_people_are_found_by_questions(question: str, browser: Client, alice: User, sre: User, team: Team) -> None:
    teams.set_member(team, sre, role="member", by=SYSTEM)
    teams.create_service_account(team, name="ci", by=SYSTEM)
    gone = accounts.create_user("gone", by=SYSTEM)
    accounts.disable_user(gone, by=SYSTEM, reason="x")
    expected = {
        "people": {"alice", "sre", "gone"}, "services": {"svc.vision.ci"}, "disabled": {"gone"}, "alone": {"alice"},
    }  # fmt: skip
    page = browser.get(url_of("accounts.user", "changelist"), {"question": question}).text
    names = {name for name in ("alice", "sre", "gone", "svc.vision.ci") if f">{name}</a></th>" in page}
    assert names == expected[question]


def offboarding(**told: str) -> dict[str, str]:
    return {"assets": "keep", "jobs": "stop", "memberships": "keep", "transfer_to": "", "reason": "left", **told}


def test_an_offboarding_is_previewed_and_then_done(browser: Client, sre: User, team: Team) -> None:
    make_row(1)
    user = User.objects.get(username="user-1")
    url = f"/admin/accounts/user/{user.pk}/offboard/"
    assert f'href="{url}"' in browser.get(url_of("accounts.user", "change", user.pk)).text
    preview = browser.post(url, offboarding(assets="transfer", transfer_to="sre"))
    assert_plain(preview.text)
    for words in ("tokens revoked", "runs transferred to sre", "running jobs stopped", "Off-board user-1"):
        assert words in preview.text
    user.refresh_from_db()
    assert user.is_active
    assert Run.objects.get().owner == user
    form = dict(re.findall(r'<input type="hidden" name="([a-z_]+)" value="([^"]*)"', preview.text))
    assert form["_confirmed"] == "1"
    assert browser.post(url, form).status_code == 302
    user.refresh_from_db()
    assert not user.is_active
    assert Run.objects.get().owner == sre
    event = AuditEvent.objects.get(action="offboard")
    assert (event.origin, event.reason, event.actor_label) == ("admin", "left", "sre")


@pytest.mark.parametrize(
    ("told_", "sentence"),
    [
        ({"reason": ""}, "Say why."),
        ({"assets": "burn"}, "Select a valid choice"),
        ({"assets": "transfer", "transfer_to": "nobody"}, "There is nobody of this name."),
        ({"transfer_to": "sre"}, "Only with assets=transfer."),
    ],
)
def test_a_wrong_offboarding_does_nothing(told_: dict[str, str], sentence: str, browser: Client, alice: User) -> None:
    for confirmed in ({}, {"_confirmed": "1"}):
        answer = browser.post(f"/admin/accounts/user/{alice.pk}/offboard/", offboarding(**told_) | confirmed)
        assert sentence in answer.text
    alice.refresh_from_db()
    assert alice.is_active


def test_an_offboarding_of_nobody_and_of_oneself(browser: Client, sre: User) -> None:
    assert browser.get("/admin/accounts/user/999999/offboard/").status_code == 404
    answer = browser.post(f"/admin/accounts/user/{sre.pk}/offboard/", offboarding() | {"_confirmed": "1"})
    assert "You cannot disable yourself." in answer.text


def upload(browser: Client, data: bytes) -> Any:
    return browser.post("/admin/teams/team/import/", {"file": SimpleUploadedFile("people.csv", data)})


def test_a_file_is_looked_at_and_then_imported(browser: Client, team: Team) -> None:
    assert "Import people" in browser.get(url_of("accounts.user", "changelist")).text
    preview = upload(browser, b"username,team,role\nnewt,vision,member\n")
    assert "creates newt; member of vision" in preview.text
    assert not User.objects.filter(username="newt").exists()
    text = re.search(r'name="text" value="([^"]*)"', preview.text)
    assert text is not None
    done = browser.post("/admin/teams/team/import/", {"text": text[1], "_confirmed": "1"})
    assert "1 account made" in done.text
    assert "no-store" in done["Cache-Control"]
    assert Membership.objects.get(user__username="newt").role == "member"
    assert "/join/fth_inv_" in done.text
    plain = re.sub(r"https?://[^/\s]+/join/", "/join/", done.text)
    assert_plain(plain)
    again = browser.post("/admin/teams/team/import/", {"text": text[1], "_confirmed": "1"})
    assert "/join/fth_inv_" not in again.text


def test_a_wrong_file_is_told_line_by_line(browser: Client, team: Team) -> None:
    page = upload(browser, b"username,team,role\n<b>x</b>,vision,member\nnewt,nowhere,member\n").text
    assert "2 wrong lines" in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x</b>" not in page
    assert "there is no team nowhere" in page
    assert 'name="_confirmed"' not in page
    assert "Line 2 is not UTF-8" in upload(browser, b"username\n\xff\n").text
    assert "Choose a file." in browser.post("/admin/teams/team/import/").text
    assert not User.objects.filter(username="newt").exists()


def test_an_admin_makes_an_invitation_and_sees_the_link_once(browser: Client, team: Team) -> None:
    form = {"teams": [team.pk], "role": "viewer", "email": "guest@example.org", "days": "3", "account": ""}
    answer = browser.post(url_of("teams.invitation", "add"), form)
    link = re.search(r"/join/(fth_inv_\w+)/", answer.text)
    assert link is not None
    assert teams.find_invitation(link[1]) == Invitation.objects.get()
    for view in ("changelist", "change"):
        args = [Invitation.objects.get().pk] if view == "change" else []
        page = browser.get(url_of("teams.invitation", view, *args)).text
        assert "guest@example.org" in page
        assert "fth_inv_" not in page
        assert Invitation.objects.get().digest not in page
    do(browser, Invitation.objects.get(), "revoke", "sent to the wrong person")
    assert Invitation.objects.get().state == "revoked"


def test_a_wrong_invitation_is_refused(browser: Client, team: Team) -> None:
    form = {"teams": [], "role": "viewer", "email": "", "days": "3", "account": "nobody"}
    assert "There is nobody of this name." in browser.post(url_of("teams.invitation", "add"), form).text
    assert not Invitation.objects.exists()


def test_a_registration_is_approved_or_rejected(browser: Client, settings: Any) -> None:
    settings.SELF_REGISTRATION = True
    for name in ("newt", "frog"):
        accounts.register(username=name, email="", password="correct horse battery")
    front = browser.get("/admin/").text
    assert "<b>2</b><span>waiting for approval</span>" in front
    newt, frog = (Registration.objects.get(username=name) for name in ("newt", "frog"))
    do(browser, newt, "approve", "a colleague")
    do(browser, frog, "reject", "nobody knows him")
    assert User.objects.filter(username__in=["newt", "frog"]).get().username == "newt"
    assert "<b>0</b><span>waiting for approval</span>" in browser.get("/admin/").text
    page = browser.get(url_of("accounts.registration", "change", frog.pk)).text
    assert "argon2" not in page
    assert "nobody knows him" in page
    assert told(do(browser, frog, "approve", "after all")) == ["frog: It is rejected already."]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("live", {"plain", "forever", "old", "ci", "tied"}),
        ("forever", {"forever"}),
        ("forgotten", {"old"}),
        ("service", {"ci"}),
        ("everywhere", {"plain", "forever", "old", "ci"}),
    ],
)
def test_tokens_are_found_by_questions(
    question: str, expected: set[str], browser: Client, alice: User, team: Team
) -> None:
    robot = teams.create_service_account(team, name="ci", by=SYSTEM)
    for name, facts in (
        ("plain", {}),
        ("forever", {"expires_in": None}),
        ("old", {}),
        ("tied", {"addresses": ["10.0.0.0/8"]}),
    ):
        accounts.issue_token(alice, by=SYSTEM, name=name, **facts)
    accounts.issue_token(robot, by=SYSTEM, name="ci")
    ended, _ = accounts.issue_token(alice, by=SYSTEM, name="ended")
    accounts.revoke_token(ended, by=SYSTEM)
    ApiToken.objects.filter(name="old").update(created_at=timezone.now() - timedelta(days=91))
    page = browser.get(url_of("accounts.apitoken", "changelist"), {"question": question}).text
    assert {
        name for name in ("plain", "forever", "old", "ci", "tied", "ended") if f">{name}</a></th>" in page
    } == expected


def test_a_team_is_archived_and_restored(browser: Client, team: Team) -> None:
    do(browser, team, "archive", "the project is over")
    team.refresh_from_db()
    assert team.archived_at is not None
    assert AuditEvent.objects.get(action="archive").reason == "the project is over"
    do(browser, team, "restore", "it goes on")
    team.refresh_from_db()
    assert team.archived_at is None


def test_an_organization_is_renamed(browser: Client, team: Team) -> None:
    url = url_of("teams.organization", "change", team.organization_id)
    assert browser.post(url, {"name": "Acme Inc.", "slug": "other"}).status_code == 302
    team.organization.refresh_from_db()
    assert (team.organization.name, team.organization.slug) == ("Acme Inc.", "acme")
