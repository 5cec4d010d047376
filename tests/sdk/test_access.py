"""Sharing from the command line and from Python."""

import json
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner

from fathom.cli import cli
from fathom.client import Client
from tests.sdk.stub_platform import TOKEN, StubPlatform

ID = "0199aaaa-0000-7000-8000-000000000001"


class Fathom:
    def __init__(self, platform: StubPlatform) -> None:
        self.environment = {"FATHOM_URL": platform.url, "FATHOM_TOKEN": TOKEN}

    def __call__(self, *words: str) -> str:
        done = CliRunner().invoke(cli, words, env=self.environment, catch_exceptions=False, standalone_mode=False)
        if done.exception is not None:
            raise done.exception
        return done.output


@pytest.fixture
def fathom(platform: StubPlatform) -> Fathom:
    platform.add_experiment(id=ID)
    return Fathom(platform)


def test_share_says_with_whom_and_until_when(platform: StubPlatform, fathom: Fathom) -> None:
    before = datetime.now(UTC)
    fathom("share", f"run/{ID}", "--user", "bob", "--role", "editor", "--expires", "7d")
    sent = platform.seen("PUT", "/access/")[0]
    assert sent.path == f"/api/v2/access/run/{ID}/shares/user/bob/"
    body = sent.json()
    assert body["role"] == "editor"
    after = datetime.fromisoformat(body["expires_at"]) - before
    assert timedelta(days=7) <= after < timedelta(days=7, minutes=1)
    fathom("share", f"run/{ID}", "--organization", "acme", "--expires", "2027-01-01T00:00:00+00:00")
    assert platform.seen("PUT", "/access/")[1].json() == {"role": "viewer", "expires_at": "2027-01-01T00:00:00+00:00"}
    assert "No longer shared with vision." in fathom("unshare", f"run/{ID}", "--team", "vision")


@pytest.mark.parametrize(
    "words",
    [
        ("share", "run", "--user", "bob"),
        ("share", f"run/{ID}"),
        ("share", f"run/{ID}", "--user", "bob", "--team", "vision"),
        ("share", f"run/{ID}", "--user", "bob", "--expires", "soon"),
        ("access", "request", "run"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_sent(
    platform: StubPlatform, fathom: Fathom, words: tuple[str, ...]
) -> None:
    with pytest.raises(click.UsageError):
        fathom(*words)
    assert platform.seen("PUT", "/access/") == []


def test_the_whole_list_is_read(fathom: Fathom) -> None:
    said = fathom("access", "list", f"run/{ID}")
    assert "person-0" in said
    assert "person-1" in said
    told = json.loads(fathom("access", "list", f"run/{ID}", "-o", "json"))
    assert [line["name"] for line in told["results"]] == ["person-0", "person-1"]


def test_why_tells_the_paths_and_what_is_missing(platform: StubPlatform, fathom: Fathom) -> None:
    said = fathom("access", "why", f"run/{ID}", "--user", "bob", "--action", "delete")
    assert said.splitlines() == [
        "bob may not delete it.",
        "  editor through team vision, member",
        "  Delete needs manager; the role is editor.",
        "  The token carries: all.",
    ]
    assert platform.seen("GET", "/why/")[0].query == {"user": ["bob"], "action": ["delete"]}


def test_requests_are_listed_decided_and_made(platform: StubPlatform, fathom: Fathom) -> None:
    listed = fathom("access", "requests", "--state", "open")
    assert "\x1b" not in listed
    assert "If there is such an object" in fathom("access", "request", f"run/{ID}", "--role", "editor")
    assert "has access" in fathom("access", "grant", ID, "--role", "viewer", "--expires", "12h", "--note", "ok")
    assert "Refused" in fathom("access", "refuse", ID)
    assert "Withdrew" in fathom("access", "withdraw", ID)
    assert platform.seen("POST", "/grant/")[0].json()["role"] == "viewer"


def test_visibility_and_owner(platform: StubPlatform, fathom: Fathom) -> None:
    assert "is team now" in fathom("access", "visibility", f"run/{ID}", "team", "--team", "vision")
    assert platform.seen("PATCH", "/access/")[0].json() == {"visibility": "team", "team": "vision"}
    assert "belongs to bob now" in fathom("access", "transfer", f"run/{ID}", "--to", "bob")


def test_python_wants_exactly_one_subject(client: Client) -> None:
    for names in ({}, {"user": "bob", "team": "vision"}):
        with pytest.raises(ValueError, match="exactly one"):
            client.access.share("run", ID, "viewer", **names)
