"""Environments through the API: what is made, what is refused, what stays hidden."""

from typing import Any

import pytest

from apps.audit.models import AuditEvent
from apps.environments.models import Environment, EnvironmentBuild
from tests.api.conftest import As, as_
from tests.environments.conftest import make, work
from tests.factories import Stage
from tests.people import Cast

__all__ = ["as_"]
API = "/api/v2/environments/"


def test_from_a_file_to_a_build_and_its_log(cast: Cast, stage: Stage, as_: As) -> None:
    client = as_("alice")
    body = {
        "name": "tools",
        "python": "3.11",
        "packages": "six==1.16.0\ntomli\n",
        "variables": {"A": " 1 "},
        "team": "vision",
    }
    made = client.post(API, body).json()
    assert (made["name"], made["newest_number"], made["team"], made["visibility"]) == ("tools", 1, "vision", "team")
    version = client.get(f"{API}{made['id']}/versions/latest/").json()
    assert (version["packages"], version["variables"], version["builds"]) == (
        ["six==1.16.0", "tomli"],
        {"A": " 1 "},
        [],
    )
    answer = client.post(f"{API}{made['id']}/versions/1/builds/", {})
    assert (answer.status_code, answer.json()["state"], answer.json()["cluster"]) == (202, "queued", "fake")
    work()
    built = client.get(f"{API}{made['id']}/versions/1/builds/fake/").json()
    assert (built["state"], built["log"], built["lock"]) == ("ready", "$ lock\n$ build\n", "six==1.16.0\ntomli")
    assert client.get(f"{API}{made['id']}/versions/1/").json()["builds"][0]["key"] == built["key"]
    second = client.post(f"{API}{made['id']}/versions/", {"packages": "dependencies: [numpy=1.26]"})
    assert (second.status_code, second.json()["number"], second.json()["packages"]) == (201, 2, ["numpy==1.26.*"])
    assert [row["number"] for row in client.get(f"{API}{made['id']}/versions/").json()["results"]] == [2, 1]


def test_changes_and_the_end(cast: Cast, as_: As) -> None:
    client, version = as_("alice"), make(cast.alice, team=cast.team)
    address = f"{API}{version.environment_id}/"
    assert (
        client.patch(address, {"name": "other", "description": "x", "visibility": "public"}).json()["name"] == "other"
    )
    assert client.delete(f"{address}?reason=old").status_code == 204
    assert client.get(address).status_code == 404
    assert AuditEvent.objects.get(action="archive").reason == "old"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a b"}, "name"),
        ({"name": "tools"}, "name"),  # taken
        ({"packages": "six"}, "name"),
        ({"name": "x", "packages": "-e ."}, "packages"),
        ({"name": "x", "packages": ["six"]}, "packages"),
        ({"name": "x", "python": "2.7"}, "python"),
        ({"name": "x", "variables": {"PATH": "x"}}, "variables"),
        ({"name": "x", "variables": ["x"]}, "variables"),
        ({"name": "x", "r_packages": ["a b"]}, "r_packages"),
        ({"name": "x", "image": "A B"}, "image"),
        ({"name": "x", "team": "nobodys"}, "team"),
        ({"name": "x", "visibility": "all"}, "visibility"),
    ],
)
def test_what_is_refused_says_why_beside_its_field(cast: Cast, as_: As, body: dict[str, Any], field: str) -> None:
    make(cast.alice)
    answer = as_("alice").post(API, body)
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert Environment.objects.count() == 1


def test_what_is_another_tenants_is_hidden_at_every_door(cast: Cast, stage: Stage, as_: As) -> None:
    hidden = make(cast.alice, name="sesame-74b1", packages="sesame-74b1", team=cast.team)
    client = as_("charlie")
    address = f"{API}{hidden.environment_id}/"
    requests = [
        client.get(API), client.get(f"{API}?q=sesame"), client.get(address), client.get(f"{address}history/"),
        client.get(f"{address}versions/"), client.get(f"{address}versions/1/"), client.post(f"{address}versions/", {}),
        client.post(f"{address}versions/1/builds/", {}), client.get(f"{address}versions/1/builds/fake/"),
        client.patch(address, {"description": "x"}), client.delete(address),
    ]  # fmt: skip
    assert [answer.status_code for answer in requests] == [200, 200, *[404] * 9]
    assert not [answer for answer in requests if "sesame" in answer.content.decode()]
    assert not EnvironmentBuild.objects.exists()
    assert "sesame" in as_("bob").get(API).content.decode()


@pytest.mark.parametrize("number", ["0", "2", "x", "99999999999999", "-1", "latestx", "%00"])
def test_versions_that_are_not_there(cast: Cast, stage: Stage, as_: As, number: str) -> None:
    version = make(cast.alice)
    client = as_("alice")
    assert client.get(f"{API}{version.environment_id}/versions/{number}/").status_code == 404
    assert client.post(f"{API}{version.environment_id}/versions/{number}/builds/", {}).status_code == 404


def test_a_cluster_that_is_not_there(cast: Cast, stage: Stage, as_: As) -> None:
    version = make(cast.alice)
    answer = as_("alice").post(f"{API}{version.environment_id}/versions/1/builds/", {"cluster": "moon"})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["cluster"])
    assert as_("alice").get(f"{API}{version.environment_id}/versions/1/builds/moon/").status_code == 404


def test_a_submission_names_it(cast: Cast, stage: Stage, as_: As) -> None:
    make(cast.alice)
    spec = {"command": "true", "cluster": {"name": "fake"}, "environment": "tools"}
    made = as_("alice").post("/api/v2/experiments/", spec)
    assert (made.status_code, made.json()["spec"]["environment"]) == (201, "tools@1")
    assert made.json()["message"] == "waiting: its environment tools@1 is being built"
    why = as_("alice").get(f"/api/v2/experiments/{made.json()['id']}/why/").json()
    assert (why["reason"], why["sentence"]) == (
        "EnvironmentBuilding",
        "waiting: its environment tools@1 is being built",
    )
