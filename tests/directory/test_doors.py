"""The same through every door: admin pages and API, against a real LDAP server."""

import re
from typing import Any

import pytest
from django.urls import reverse

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.directory import services
from apps.directory.models import DirectoryRule, DirectorySync
from apps.teams.models import Membership
from tests.api.conftest import as_
from tests.directory.slapd import PASSWORD, Slapd, dn_of
from tests.people import Cast, browser_of
from tests.portal.reading import text_of

pytestmark = pytest.mark.django_db
__all__ = ["as_"]

RULES, SYNCS = "admin:directory_directoryrule", "admin:directory_directorysync"


def rule(cast: Cast, group: str = "research", role: str = "member") -> DirectoryRule:
    made = DirectoryRule(source="ldap", group=group, team=cast.team, role=role)
    return services.save_rule(made, by=SYSTEM)


# --- Admin ------------------------------------------------------------------------------------------------------------


def test_rules_are_made_changed_and_deleted_in_the_admin(cast: Cast) -> None:
    browser = browser_of(cast.sre)
    form = {"source": "ldap", "group": "research", "team": cast.team.pk, "role": "member", "order": 10, "enabled": "on"}
    assert browser.post(reverse(f"{RULES}_add"), form).status_code == 302
    made = DirectoryRule.objects.get()
    changed = {**form, "role": "viewer"}
    assert browser.post(reverse(f"{RULES}_change", args=[made.pk]), changed).status_code == 302
    made.refresh_from_db()
    assert (made.role, made.order) == ("viewer", 10)
    action = {"action": "remove", "_selected_action": made.pk, "_confirmed": "1", "_from_page": "1", "reason": "wrong"}
    assert browser.post(reverse(f"{RULES}_changelist"), action).status_code == 302
    assert not DirectoryRule.objects.exists()
    events = (
        AuditEvent.objects.filter(object_type="directory.directoryrule").exclude(actor_label="database").order_by("pk")
    )
    assert [(event.action, event.actor_label, event.reason) for event in events] == [
        ("create", "sre", ""), ("edit", "sre", ""), ("delete", "sre", "wrong"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"team": ""}, "one of them."),
        ({"role": ""}, "one of them."),
        ({"team": "", "role": "", "platform_role": "admin"}, "FATHOM_DIRECTORY_PLATFORM_ROLES"),
        ({"group": ""}, "This field is required."),
    ],
)
def test_the_form_says_what_is_wrong(changes: dict[str, str], sentence: str, cast: Cast) -> None:
    form = {"source": "ldap", "group": "research", "team": cast.team.pk, "role": "member", "order": 10, **changes}
    page = browser_of(cast.sre).post(reverse(f"{RULES}_add"), form)
    assert page.status_code == 200
    assert sentence in text_of(page)
    assert not DirectoryRule.objects.exists()


def test_the_dry_run_in_the_admin_and_the_sync_that_follows(slapd: Slapd, cast: Cast) -> None:
    rule(cast)
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    browser = browser_of(cast.sre)
    assert reverse(f"{SYNCS}_add") in text_of(browser.get(reverse(f"{SYNCS}_changelist")))
    page = text_of(browser.get(reverse(f"{SYNCS}_add")))
    assert "ana leaves vision, was member" in page
    assert "A sync would make 1 change<" in page
    assert Membership.objects.filter(user__username="ana").exists()
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', page).group(1)
    assert browser.post(reverse(f"{SYNCS}_add"), {"digest": digest}).status_code == 302
    assert not Membership.objects.filter(user__username="ana").exists()
    done = DirectorySync.objects.get()
    assert (done.outcome, done.asked_by, done.changes) == ("done", "sre", ["ana leaves vision, was member"])
    assert "ana leaves vision" in text_of(browser.get(reverse(f"{SYNCS}_change", args=[done.pk])))


def test_another_plan_than_the_one_shown_is_not_applied(slapd: Slapd, cast: Cast) -> None:
    rule(cast)
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    page = browser_of(cast.sre).post(reverse(f"{SYNCS}_add"), {"digest": "0" * 64})
    assert page.status_code == 200
    assert "Something has changed since the dry run." in text_of(page)
    assert Membership.objects.filter(user__username="ana").exists()
    assert not DirectorySync.objects.exists()


def test_a_plan_that_is_held_back_needs_a_tick(slapd: Slapd, cast: Cast, settings: Any) -> None:
    for number in range(7):
        slapd.add_person(f"p{number}")
        accounts.log_in(f"p{number}", PASSWORD)
    settings.FATHOM_LDAP_USER_FILTER = "(&(objectClass=person)(!(uid=p*)))"
    browser = browser_of(cast.sre)
    page = text_of(browser.get(reverse(f"{SYNCS}_add")))
    assert "Held back: 7 of 7 people" in page
    digest = re.search(r'name="digest" value="([0-9a-f]{64})"', page).group(1)
    browser.post(reverse(f"{SYNCS}_add"), {"digest": digest})
    assert DirectorySync.objects.latest("pk").outcome == "held"
    assert User.objects.filter(identity_source="ldap", is_active=True).count() == 7
    assert "Nothing was changed." in text_of(browser.get(reverse(f"{SYNCS}_changelist")))
    browser.post(reverse(f"{SYNCS}_add"), {"digest": digest, "force": "on"})
    assert DirectorySync.objects.latest("pk").outcome == "done"
    assert User.objects.filter(identity_source="ldap", is_active=True).count() == 0


def test_the_admin_says_when_the_directory_is_down(slapd: Slapd, cast: Cast) -> None:
    slapd.stop()
    browser = browser_of(cast.sre)
    page = browser.get(reverse(f"{SYNCS}_add"), follow=True)
    assert page.redirect_chain == [(reverse(f"{SYNCS}_changelist"), 302)]
    assert "The LDAP server did not give the list of people" in text_of(page)


def test_the_reason_of_a_refusal_is_where_operators_look(slapd: Slapd, cast: Cast) -> None:
    user = accounts.log_in("ana", PASSWORD)
    accounts.disable_user(user, by=SYSTEM, reason="left")
    from apps.core.errors import NotAuthenticated

    with pytest.raises(NotAuthenticated):
        accounts.log_in("ana", PASSWORD)
    page = text_of(browser_of(cast.sre).get(reverse("admin:accounts_loginfailure_changelist")))
    assert "the account is disabled" in page


# --- API --------------------------------------------------------------------------------------------------------------


def test_rules_through_the_api(cast: Cast, as_: Any) -> None:
    sre = as_("sre")
    body = {"source": "ldap", "group": "research", "team": "vision", "role": "member"}
    made = sre.post("/api/v2/directory/rules/", body)
    assert (made.status_code, made.json()) == (
        201,
        {**body, "id": made.json()["id"], "platform_role": "", "order": 100, "enabled": True},
    )
    one = f"/api/v2/directory/rules/{made.json()['id']}/"
    assert sre.get("/api/v2/directory/rules/").json()["results"] == [made.json()]
    assert sre.patch(one, {"role": "viewer"}).json()["role"] == "viewer"
    assert as_("aud").get(one).status_code == 200
    for name in ("alice", "mia", "aud"):
        for method, url in (("post", "/api/v2/directory/rules/"), ("patch", one), ("delete", one)):
            assert getattr(as_(name), method)(url, {"role": "maintainer"}).status_code == 403
    assert DirectoryRule.objects.values_list("role", flat=True).get() == "viewer"
    assert sre.delete(one).status_code == 204
    assert not DirectoryRule.objects.exists()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"team": "nowhere"}, "team"),
        ({"team": ""}, "team"),
        ({"role": "king"}, "role"),
        ({"role": ""}, "role"),
        ({"group": ""}, "group"),
        ({"source": "local"}, "source"),
        ({"platform_role": "admin"}, "team"),
        ({"order": -1}, "order"),
    ],
)
def test_a_wrong_rule_is_told(changes: dict[str, Any], field: str, cast: Cast, as_: Any) -> None:
    body = {"source": "ldap", "group": "research", "team": "vision", "role": "member", **changes}
    answer = as_("sre").post("/api/v2/directory/rules/", body)
    assert answer.status_code == 400
    assert field in answer.json()["errors"]
    assert not DirectoryRule.objects.exists()


@pytest.mark.parametrize("pk", ["0", "-1", "abc", "9" * 30, "1.5", "%00"])
@pytest.mark.parametrize("kind", ["rules", "sync"])
def test_an_id_of_nothing(kind: str, pk: str, cast: Cast, as_: Any) -> None:
    assert as_("sre").get(f"/api/v2/directory/{kind}/{pk}/").status_code == 404


@pytest.mark.parametrize("group", ["a\x00b", "x" * 501, "\x00", 7, None, ["a"], {}])
def test_a_group_that_cannot_be(group: Any, cast: Cast, as_: Any) -> None:
    body = {"source": "ldap", "group": group, "team": "vision", "role": "member"}
    assert as_("sre").post("/api/v2/directory/rules/", body).status_code in ({201} if group == 7 else {400})


def test_a_rule_twice_is_a_conflict_in_words(cast: Cast, as_: Any) -> None:
    body = {"source": "ldap", "group": "research", "team": "vision", "role": "member"}
    assert as_("sre").post("/api/v2/directory/rules/", body).status_code == 201
    assert as_("sre").post("/api/v2/directory/rules/", body).status_code == 400
    assert DirectoryRule.objects.count() == 1


def test_preview_and_sync_through_the_api(slapd: Slapd, cast: Cast, as_: Any) -> None:
    rule(cast)
    accounts.log_in("ana", PASSWORD)
    slapd.remove_members("vision-core", dn_of("ana"))
    plan = as_("aud").get("/api/v2/directory/preview/").json()
    assert (plan["seen"], plan["held"], plan["refusals"]) == (4, "", [])
    assert [change["text"] for change in plan["changes"]] == ["ana leaves vision, was member"]
    for name in ("alice", "mia", "aud"):
        assert as_(name).post("/api/v2/directory/sync/", {}).status_code == 403
    assert as_("alice").get("/api/v2/directory/preview/").status_code == 403
    assert Membership.objects.filter(user__username="ana").exists()
    assert as_("sre").post("/api/v2/directory/sync/", {"digest": "0" * 64}).status_code == 409
    done = as_("sre").post("/api/v2/directory/sync/", {"digest": plan["digest"]})
    assert (done.status_code, done.json()["outcome"]) == (201, "done")
    assert not Membership.objects.filter(user__username="ana").exists()
    assert as_("aud").get("/api/v2/directory/sync/").json()["results"] == [done.json()]
    slapd.stop()
    assert as_("sre").get("/api/v2/directory/preview/").status_code == 503
    assert as_("sre").post("/api/v2/directory/sync/", {}).json()["outcome"] == "failed"


def test_a_token_needs_the_scope(slapd: Slapd, cast: Cast, as_: Any) -> None:
    assert as_("sre", scopes=("read",)).get("/api/v2/directory/preview/").status_code == 403
    assert as_("sre", scopes=("all",)).post("/api/v2/directory/sync/", {}).status_code == 403
    assert not DirectorySync.objects.exists()
