"""Quotas, the queue and why, as a script and a shell meet them."""

import json
from datetime import UTC, datetime

import pytest

from fathom.client import Client
from fathom.errors import NotFound
from tests.sdk.stub_platform import StubPlatform
from tests.sdk.test_cli import Fathom, env, fathom

__all__ = ["env", "fathom"]
ID = "0199bbbb-0000-7000-8000-000000000001"


def test_the_client_reads_places_limits_and_the_queue(platform: StubPlatform, client: Client) -> None:
    node = client.quotas.get("team:7")
    assert platform.requests[-1].query["key"] == ["team:7"]
    assert (node.id, node.path, node.limits["cpu"].free) == (12, ("platform", "Acme", "Vision"), 14_500)
    assert node.limits["disk"].limit is None
    assert client.quotas.get(12).key == "team:7"
    with pytest.raises(NotFound):
        client.quotas.get("team:8")
    (entry,) = client.queue.list()
    assert (entry.position, entry.priority_class, entry.standing[0].score) == (1, "urgent", 6.25)


def test_the_client_explains(platform: StubPlatform, client: Client) -> None:
    found = client.experiments.why(platform.add_experiment(state="queued")["id"])
    assert [one.used for one in found.obstacles] == [64_000, None]
    assert (found.position, found.starts_at) == (3, datetime(2026, 11, 24, 10, tzinfo=UTC))
    assert found.remedies == ("With 2 CPUs fewer it would start now.",)


def test_the_client_asks_until_a_time(platform: StubPlatform, client: Client) -> None:
    until = datetime(2027, 1, 31, tzinfo=UTC)
    made = client.allocations.create("team:7", "gpu", "16", reason="a deadline", until=until)
    assert (made.amount, made.node_key, made.state) == (16_000, "team:7", "open")
    sent = {"node": "team:7", "resource": "gpu", "amount": "16", "reason": "a deadline", "until": until.isoformat()}
    assert platform.requests[-1].json() == sent
    client.allocations.approve(ID, amount="8", note="that much")
    assert platform.requests[-1].json() == {"amount": "8", "note": "that much"}


def test_places_are_listed_and_shown(platform: StubPlatform, fathom: Fathom) -> None:
    listed = fathom("quota", "list").stdout
    assert "team:7  platform / Acme / Vision  cpu" in listed
    assert "disk" not in listed  # neither limited nor used
    shown = fathom("quota", "show", "team:7").stdout
    assert [line.split() for line in shown.splitlines() if line.startswith("disk")] == [["disk", "0", "none", "0"]]
    assert json.loads(fathom("quota", "list", "-o", "json").stdout)[0]["key"] == "team:7"


def test_limits_are_set_and_removed(platform: StubPlatform, fathom: Fathom) -> None:
    done = fathom(
        "quota", "set", "team:7", "cpu=64", "gpu=none", "--borrow", "cpu=8", "--weight", "2", "--reason", "more"
    )
    assert done.returncode == 0
    body = {"reason": "more", "limits": {"cpu": "64", "gpu": None}, "borrow": {"cpu": "8"}, "weight": 2}
    assert (platform.requests[-1].method, platform.requests[-1].json()) == ("PATCH", body)


@pytest.mark.parametrize(
    "words", [["set", "team:7", "--reason", "x"], ["set", "team:7", "cpu=1"], ["set", "team:7", "cpu", "--reason", "x"]]
)
def test_a_limit_needs_an_amount_and_a_reason(platform: StubPlatform, fathom: Fathom, words: list[str]) -> None:
    assert fathom("quota", *words).returncode == 2
    assert not [sent for sent in platform.requests if sent.method == "PATCH"]


def test_what_if_says_what_would_start(platform: StubPlatform, fathom: Fathom) -> None:
    said = fathom("quota", "what-if", "team:7", "cpu=128", "memory=none")
    assert [w for w in said.stdout.splitlines()[1].split() if "-" not in w] == [
        "besides",
        "big",
        "[31m",
        "alice",
        "vision",
    ]
    assert "\x1b" not in said.stdout
    assert platform.requests[-1].json() == {
        "limits": [
            {"node": "team:7", "resource": "cpu", "limit": "128"},
            {"node": "team:7", "resource": "memory", "limit": None},
        ]
    }


def test_requests_are_made_listed_and_decided(platform: StubPlatform, fathom: Fathom) -> None:
    made = fathom("quota", "request", "team:7", "gpu", "16", "--reason", "a deadline", "--until", "2027-01-31")
    assert made.returncode == 0
    assert platform.requests[-1].json()["until"].startswith("2027-01-31T00:00:00")
    listed = fathom("quota", "requests", "--to-decide")
    assert "\x1b" not in listed.stdout
    assert platform.requests[-1].query["to_decide"] == ["true"]
    assert "a deadline" in fathom("quota", "requests", ID).stdout
    for verb, state in (("approve", "approved"), ("refuse", "refused"), ("withdraw", "withdrawn")):
        assert state in fathom("quota", verb, ID).stdout
        assert platform.requests[-1].path == f"/api/v2/allocation-requests/{ID}/{verb}/"


def test_the_queue_is_listed(platform: StubPlatform, fathom: Fathom) -> None:
    assert "waiting: team Vision uses 64 of 64 CPUs" in fathom("queue").stdout
    assert json.loads(fathom("queue", "-o", "json").stdout)[0]["position"] == 1


@pytest.mark.parametrize("by", ["id", "prefix", "name", "latest"])
def test_why_is_answered_so_that_one_can_act(platform: StubPlatform, fathom: Fathom, by: str) -> None:
    made = platform.add_experiment(state="queued", name="my work")
    given = {"id": made["id"], "prefix": made["id"][:13], "name": "my work", "latest": "latest"}[by]
    said = fathom("why", given, TZ="UTC")
    assert said.returncode == 0, said.stderr
    for words in (
        "waiting: team Vision uses 64 of 64 CPUs, and this needs 8",
        "In the way: the platform has too little free of its 99 CPUs, and this needs 8.",
        "an admin",
        "With 2 CPUs fewer it would start now.",
        "2026-11-24 10:00",
        "place in the queue",
        "team Vision       12.5",
    ):
        assert words in said.stdout, said.stdout
    assert "\x1b" not in said.stdout
    assert json.loads(fathom("why", given, "-o", "json").stdout)["position"] == 3


def test_why_of_nothing_is_not_found(platform: StubPlatform, fathom: Fathom) -> None:
    assert fathom("why", "no such work").returncode == 5


def test_run_asks_for_a_class_a_model_and_other_things(platform: StubPlatform, fathom: Fathom) -> None:
    options = ["--priority-class", "urgent", "--gpu", "2", "--gpu-model", "a100", "--resource", "licenses=2"]
    assert fathom("run", "-d", *options, "--", "true").returncode == 0
    assert platform.requests[-1].json() == {
        "command": "true",
        "priority_class": "urgent",
        "resources": {"gpu": 2, "gpu_model": "a100", "other": {"licenses": 2}},
    }
    assert fathom("run", "-d", "--resource", "licenses=two", "--", "true").returncode == 2


def test_classes_and_resources_are_kept(platform: StubPlatform, fathom: Fathom) -> None:
    assert "rank=50" in fathom("quota", "classes", "create", "urgent", "50", "--open-to", "maintainers").stdout
    assert platform.requests[-1].json()["open_to"] == "maintainers"
    assert fathom("quota", "classes", "update", "urgent", "--rank", "5").returncode == 0
    assert platform.requests[-1].json() == {"rank": 5}
    assert "urgent" in fathom("quota", "classes", "list").stdout
    assert fathom("quota", "resources", "create", "licenses", "Licenses").returncode == 0
    assert platform.requests[-1].json() == {"name": "licenses", "title": "Licenses"}
    assert fathom("quota", "resources", "delete", "licenses").stdout == "Deleted licenses.\n"
