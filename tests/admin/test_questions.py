"""Questions about those who wait to be let in, and about what people come in by."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import Registration, User, UserSession
from apps.credentials import services as credentials
from apps.credentials.models import Credential
from apps.directory.models import DirectoryRule, DirectorySync
from apps.sharing.models import AccessRequest
from apps.teams import services as teams
from apps.teams.models import Invitation, Team
from tests import people
from tests.admin.test_workplace import DAY, _keys_of, keys, listed


@pytest.fixture
def team(db: None) -> Team:
    organization = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
    return teams.create_team(organization, slug="vision", name="Vision", by=SYSTEM)


def answered(browser: Client, label: str) -> dict[str, set[Any]]:
    return {key: listed(browser, label, question=key) for key in _keys_of(label)}


def test_registrations(browser: Client, alice: User) -> None:
    now = timezone.now()
    facts: dict[str, dict[str, Any]] = {
        "new": {},
        "old": {"created_at": now - 2 * DAY},
        "taken": {"decided_at": now, "user": alice, "created_at": now - 2 * DAY},
        "refused": {"decided_at": now},
    }
    made = {name: Registration.objects.create(username=name, **given) for name, given in facts.items()}
    assert answered(browser, "accounts.registration") == {
        "waiting": keys(made["new"], made["old"]), "long": keys(made["old"]), "approved": keys(made["taken"]),
        "rejected": keys(made["refused"]),
    }  # fmt: skip


def test_sessions(browser: Client, sre: User, alice: User) -> None:
    people.browser_of(alice)
    idle, acting = UserSession.objects.get(user=alice), UserSession.objects.get(user=sre)
    past = timezone.now() - 2 * DAY
    UserSession.objects.filter(pk=idle.pk).update(created_at=past, last_seen_at=past, elevated_until=past)
    assert answered(browser, "accounts.usersession") == {
        "elevated": keys(acting), "hour": keys(acting), "idle": keys(idle),
    }  # fmt: skip


def test_credentials(browser: Client, alice: User) -> None:
    gone = accounts.create_user("gone", by=SYSTEM)
    owners = dict.fromkeys(("plain", "expired", "ending", "unused", "old", "deleted"), alice) | {"gone": gone}
    made = {
        name: credentials.create_credential(name, "generic", {"value": "a-secret-value"}, by=owner)
        for name, owner in owners.items()
    }
    now = timezone.now()
    changes: dict[str, dict[str, Any]] = {
        "expired": {"expires_at": now - DAY},
        "ending": {"expires_at": now + DAY},
        "old": {"replaced_at": now - 400 * DAY},
        "deleted": {"replaced_at": now - 400 * DAY, "expires_at": now - DAY, "archived_at": now},
    }
    Credential.objects.exclude(name__in=["unused", "deleted"]).update(last_used_at=now)
    for name, change in changes.items():
        Credential.objects.filter(name=name).update(**change)
    accounts.disable_user(gone, by=SYSTEM, reason="x")
    names = ("expired", "ending", "unused", "old", "gone")
    assert answered(browser, "credentials.credential") == {name: keys(made[name]) for name in names}


def test_rules_and_syncs_of_the_directory(browser: Client, team: Team) -> None:
    closed = teams.create_team(team.organization, slug="closed", name="Closed", by=SYSTEM)
    facts: dict[str, dict[str, Any]] = {
        "plain": {"team": team, "role": "member"},
        "platform": {"platform_role": "auditor"},
        "off": {"team": closed, "role": "member", "enabled": False},
        "archived": {"team": closed, "role": "viewer"},
    }
    made = {name: DirectoryRule.objects.create(source="ldap", group=name, **given) for name, given in facts.items()}
    teams.archive_team(closed, by=SYSTEM, reason="x")
    names = ("platform", "off", "archived")
    assert answered(browser, "directory.directoryrule") == {name: keys(made[name]) for name in names}
    now = timezone.now()
    syncs = {
        name: DirectorySync.objects.create(started_at=now, ended_at=now, outcome=outcome, changes=changes)
        for name, outcome, changes in (
            ("idle", "done", []), ("done", "done", ["x"]), ("held", "held", ["x"]), ("failed", "failed", []),
        )
    }  # fmt: skip
    assert answered(browser, "directory.directorysync") == {
        "bad": keys(syncs["held"], syncs["failed"]), "changed": keys(syncs["done"]),
    }  # fmt: skip


def test_requests_for_access(browser: Client, alice: User) -> None:
    past = timezone.now() - 8 * DAY
    new, old, _decided = (
        AccessRequest.objects.create(kind="run", object_id=uuid4(), by=alice, **facts)
        for facts in ({}, {"created_at": past}, {"created_at": past, "state": "granted"})
    )
    assert answered(browser, "sharing.accessrequest") == {"open": keys(new, old), "long": keys(old)}


def test_invitations(browser: Client, team: Team) -> None:
    made = {
        name: teams.invite([(team, "member")], by=SYSTEM, email=f"{name}@example.org", expires_in=3 * DAY)[0]
        for name in ("new", "ending", "expired", "redeemed", "revoked")
    }
    now = timezone.now()
    changes = {
        "ending": {"expires_at": now + timedelta(hours=1)},
        "expired": {"expires_at": now - DAY},
        "redeemed": {"redeemed_at": now},
        "revoked": {"revoked_at": now, "expires_at": now - DAY},
    }
    for name, change in changes.items():
        Invitation.objects.filter(pk=made[name].pk).update(**change)
    assert answered(browser, "teams.invitation") == {
        "pending": keys(made["new"], made["ending"]), "ending": keys(made["ending"]), "expired": keys(made["expired"]),
        "redeemed": keys(made["redeemed"]),
    }  # fmt: skip
