"""Who may open what: every page of every registered admin, and every kind of person."""

from collections.abc import Callable
from urllib.parse import unquote

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group, Permission
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse

from apps.access.admin import GuardedAdmin
from apps.accounts.models import User, UserSession
from apps.audit.models import AuditEvent
from tests.admin.conftest import PASSWORD
from tests.admin.rows import make_row

PAGES = sorted(site._registry.values(), key=lambda page: page.opts.label_lower)
LABELS = [page.opts.label_lower for page in PAGES]
EXPECTED = [
    "accounts.apitoken", "accounts.loginfailure", "accounts.registration", "accounts.user",
    "accounts.usersession", "audit.auditevent",
    "budgets.budget", "budgets.delivery", "budgets.hold", "budgets.ledgertx", "budgets.price",
    "compute.attempt", "compute.cluster", "compute.loop", "compute.priorityclass", "compute.workload", "compute.workloadevent",
    "credentials.credential", "directory.directoryrule", "directory.directorysync", "environments.environment",
    "environments.environmentbuild", "environments.environmentversion", "experiments.codeupload",
    "experiments.experiment", "quotas.allocationrequest", "quotas.quotadefault",
    "quotas.quotanode", "quotas.reservation", "quotas.resource", "quotas.shareuse",
    "registry.modelversion", "registry.move", "registry.moverequest", "registry.protection", "registry.registeredmodel", "sharing.accessrequest", "sources.fetch",
    "storage.blob", "storage.collection", "teams.invitation", "teams.organization", "teams.team",
    "tracking.artifact", "tracking.project", "tracking.retention", "tracking.run", "tracking.upload",
]  # fmt: skip
CAN_ADD = {
    "accounts.user", "budgets.budget", "budgets.price", "compute.cluster", "compute.priorityclass", "credentials.credential", "directory.directoryrule",
    "directory.directorysync", "quotas.quotadefault", "quotas.resource", "storage.collection", "teams.invitation", "teams.organization", "teams.team",
    "tracking.retention",
}  # fmt: skip
CAN_CHANGE = {
    "accounts.apitoken", "accounts.user", "budgets.budget", "compute.cluster", "compute.priorityclass", "credentials.credential",
    "directory.directoryrule", "quotas.quotadefault", "quotas.quotanode", "quotas.resource",
    "teams.organization", "teams.team", "tracking.retention",
}  # fmt: skip
MODELS = {page.opts.label_lower: page.model for page in PAGES}


def url_of(label: str, view: str, *args: object) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{view}", args=args)


def a_row(label: str) -> Model:
    found: Model | None = MODELS[label]._base_manager.order_by("pk").last()
    assert found is not None, f"no row of {label} to look at"
    return found


def urls_of(label: str) -> dict[str, str]:
    pk = a_row(label).pk
    return {
        "list": url_of(label, "changelist"),
        "page": url_of(label, "change", pk),
        "history": url_of(label, "history", pk),
        "add": url_of(label, "add"),
        "delete": url_of(label, "delete", pk),
    }


def test_these_are_registered_and_no_others() -> None:
    assert LABELS == EXPECTED
    assert not site.is_registered(Group)
    assert not site.is_registered(Permission)
    assert all(isinstance(page, GuardedAdmin) for page in PAGES)


@pytest.mark.parametrize("label", LABELS)
def test_operator_opens_every_page(label: str, browser: Client) -> None:
    make_row(1)
    asked = urls_of(label)
    statuses = {view: browser.get(url).status_code for view, url in asked.items()}
    add = 200 if label in CAN_ADD else 403
    assert statuses == {"list": 200, "page": 200, "history": 200, "add": add, "delete": 403}


@pytest.mark.parametrize("label", LABELS)
def test_others_are_sent_to_the_login_page(
    label: str, alice: User, halfway: User, browser_of: Callable[[User | None], Client]
) -> None:
    make_row(1)
    for person in (alice, halfway, None):
        browser = browser_of(person)
        for url in urls_of(label).values():
            answer = browser.get(url)
            assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={url}")
            assert browser.post(url).status_code == 302


@pytest.mark.parametrize(
    "url", ["/admin/", "/admin/compute/", "/admin/autocomplete/", "/admin/jsi18n/", "/admin/nowhere/"]
)
def test_pages_of_the_site_itself_are_closed_to_others(
    url: str, alice: User, browser_of: Callable[[User | None], Client]
) -> None:
    assert browser_of(alice).get(url).status_code == 302
    assert browser_of(None).get(url).status_code == 302


@pytest.mark.parametrize("label", [label for label in LABELS if label not in CAN_CHANGE])
def test_what_is_read_only_takes_no_post(label: str, browser: Client) -> None:
    make_row(1)
    row = a_row(label)
    before = MODELS[label]._base_manager.filter(pk=row.pk).values().get()
    fields = {field.name: "1" for field in MODELS[label]._meta.concrete_fields}
    assert browser.post(url_of(label, "change", row.pk), fields).status_code == 403
    assert MODELS[label]._base_manager.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("label", LABELS)
def test_nothing_is_deleted(label: str, browser: Client) -> None:
    make_row(1)
    row = a_row(label)
    assert browser.post(url_of(label, "delete", row.pk), {"post": "yes"}).status_code == 403
    browser.post(
        url_of(label, "changelist"), {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
    )
    assert MODELS[label]._base_manager.filter(pk=row.pk).exists()


WANTED = "/admin/compute/workload/"


def test_whoever_may_not_enter_yet_is_sent_to_the_right_door(
    alice: User, halfway: User, browser_of: Callable[[User | None], Client]
) -> None:
    doors = {None: f"/login/?next={WANTED}", halfway: f"/elevate/?next={WANTED}"}
    for person, door in doors.items():
        answer = browser_of(person).get("/admin/login/", {"next": WANTED})
        assert (answer.status_code, unquote(answer["Location"])) == (302, door)
    refused = browser_of(alice).get("/admin/login/", {"next": WANTED})
    assert refused.status_code == 403
    assert "may not operate the platform" in refused.text


def test_whoever_may_enter_goes_on_and_never_elsewhere(browser: Client) -> None:
    assert browser.get("/admin/login/", {"next": WANTED})["Location"] == WANTED
    for wanted in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", ""):
        assert browser.get("/admin/login/", {"next": wanted})["Location"] == "/admin/"


def test_the_door_of_the_admin_takes_no_password(sre: User, client: Client) -> None:
    answer = client.post("/admin/login/?next=/admin/", {"username": "sre", "password": PASSWORD})
    assert (answer.status_code, unquote(answer["Location"])) == (302, "/login/?next=/admin/")
    assert client.get("/admin/").status_code == 302
    assert not UserSession.objects.filter(user=sre).exists()


def test_an_admin_comes_in_by_login_and_elevation(sre: User, client: Client) -> None:
    answer = client.post("/login/", {"username": "sre", "password": PASSWORD, "next": WANTED})
    assert answer["Location"] == WANTED
    assert client.get(WANTED).status_code == 302  # logged in, and not yet an operator
    given = {"password": PASSWORD, "reason": "look after the queue", "next": WANTED}
    assert client.post("/elevate/", given)["Location"] == WANTED
    page = client.get(WANTED)
    assert page.status_code == 200
    assert "You act as admin until" in page.text


def test_logout_needs_a_post_and_ends_the_session(browser: Client) -> None:
    assert browser.get("/admin/logout/").status_code == 405
    assert browser.post("/admin/logout/").status_code in {200, 302}
    assert browser.get("/admin/").status_code == 302


def test_passwords_are_not_changed_behind_the_services(browser: Client) -> None:
    for name in ("password_change", "password_change_done"):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:{name}")
    assert browser.get("/admin/password_change/").status_code == 404


def test_audit_rows_are_read_only_in_the_database_too(browser: Client) -> None:
    make_row(1)
    event = AuditEvent.objects.latest("pk")
    assert browser.post(url_of("audit.auditevent", "change", event.pk), {"reason": "rewritten"}).status_code == 403
    event.refresh_from_db()
    assert event.reason == ""
