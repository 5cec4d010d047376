"""The queue and the reasons for waiting, as each person may know them."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaNode, Reservation, Resource, ShareUse
from tests.api.answers import API, NOWHERE, good, problem, walk
from tests.api.conftest import As
from tests.factories import Stage
from tests.people import Cast, share

SECRET = "plover"


@pytest.fixture
def forever(stage: Stage) -> Stage:
    stage.plan(duration=None)
    return stage


def limit(key: str, resource: str, amount: int) -> None:
    quotas.set_limit(QuotaNode.objects.get(key=key), resource, amount, by=SYSTEM)


def why(client: Any, experiment: Any) -> Any:
    return good(client.get(f"{API}/experiments/{experiment.pk}/why/"))


@pytest.fixture
def full(cast: Cast, forever: Stage) -> dict[str, Any]:
    """olaf's work, nobody else's business, fills the platform; alice's and his own wait."""
    quota_node(cast.alice, cast.team)
    limit("platform", "cpu", 6000)
    running = forever.submit(
        cast.olaf, team="speech", visibility="team", name=SECRET, resources={"cpu": 5}, timeout="1h"
    )
    forever.turn(times=2)
    first = forever.submit(cast.olaf, team="speech", visibility="team", name=SECRET, resources={"cpu": 2})
    mine = forever.submit(cast.alice, team="vision", visibility="team", name="mine", resources={"cpu": 4})
    forever.turn()
    return {"running": running, "first": first, "mine": mine}


# -- the queue


def test_the_queue_holds_what_one_may_see_in_its_order(cast: Cast, stage: Stage, as_: As) -> None:
    rows = {
        "team": stage.submit(cast.alice, team="vision", visibility="team", name="team"),
        "private": stage.submit(cast.alice, team="vision", visibility="private", name="private"),
        "public": stage.submit(cast.olaf, team="speech", visibility="public", name="public"),
        "given": stage.submit(cast.olaf, team="speech", visibility="private", name="given"),
    }
    share(rows["given"], cast.dana, Role.VIEWER)
    seen = {
        "alice": ["team", "private", "public"], "bob": ["team", "public"], "charlie": ["public"],
        "dana": ["public", "given"], "mia": ["team", "public"], "olaf": ["public", "given"],
        "sre": ["team", "private", "public", "given"], "aud": ["team", "private", "public", "given"],
    }  # fmt: skip
    for name, names in seen.items():
        found = walk(as_(name), f"{API}/queue/")
        assert [row["name"] for row in found] == names, name
        assert [row["position"] for row in found] == list(range(1, len(names) + 1))
        assert [row["id"] for row in found] == [str(rows[one].pk) for one in names]
        assert walk(as_(name), f"{API}/queue/?limit=1") == found


def test_an_entry_says_why_it_waits_and_how_its_owner_stands(full: dict[str, Any], as_: As) -> None:
    (entry,) = walk(as_("alice"), f"{API}/queue/")
    assert (entry["id"], entry["owner"], entry["team"], entry["cluster"]) == (
        str(full["mine"].pk),
        "alice",
        "vision",
        "fake",
    )
    assert (entry["position"], entry["reason"], entry["priority_class"], entry["priority"]) == (1, "QuotaFull", "", 0)
    assert [step["node"] for step in entry["standing"]] == ["organization Acme", "team Vision", "user alice in Vision"]
    assert {step["weight"] for step in entry["standing"]} == {1}


def test_standing_is_told_of_ones_own_places_only(cast: Cast, stage: Stage, as_: As, settings: Any) -> None:
    settings.FAIR_SHARE_HALF_LIFE = timedelta(days=365)  # nothing is forgotten between two requests
    stage.submit(cast.olaf, team="speech", visibility="public")
    node = QuotaNode.objects.get(key=f"team:{cast.other_team.pk}")
    ShareUse.objects.create(node=node, amount=777 * 360_000)
    for name, steps in (
        ("charlie", []),
        ("alice", []),
        ("olaf", ["organization Acme", "team Speech", "user olaf in Speech"]),
        ("sre", ["organization Acme", "team Speech", "user olaf in Speech"]),
    ):
        (entry,) = walk(as_(name), f"{API}/queue/")
        told = why(as_(name), Experiment.objects.get(pk=entry["id"]))["standing"]
        assert told == entry["standing"]
        assert [step["node"] for step in told if step["node"] != "organization Acme" or steps] == steps
        assert ("777" in str(told)) is bool(steps)


def test_the_usage_page_tells_the_same_places(cast: Cast, stage: Stage, as_: As) -> None:
    for priority in (0, 5, 3):
        stage.submit(cast.alice, priority=priority, name=f"p{priority}")
    queue = [row["name"] for row in walk(as_("alice"), f"{API}/queue/")]
    told = good(as_("alice").get(f"{API}/usage/"))["queue"]
    assert queue == [row["name"] for row in told] == ["p5", "p3", "p0"]
    assert [row["position"] for row in told] == [1, 2, 3]


@pytest.mark.parametrize("cursor", ["x", "bz0tMQ%3D%3D", "bz05OTk5OTk5OTk5OTk5OTk%3D", "cD1h"])
def test_a_strange_cursor_does_no_harm(cast: Cast, stage: Stage, as_: As, cursor: str) -> None:
    stage.submit(cast.alice)
    assert as_("alice").get(f"{API}/queue/?cursor={cursor}").status_code in (200, 404)


# -- why


def test_who_waits_for_what_others_share_is_not_told_what_they_use(full: dict[str, Any], as_: As) -> None:
    answer = as_("alice").get(f"{API}/experiments/{full['mine'].pk}/why/")
    told = good(answer)
    (obstacle,) = told["obstacles"]
    assert (obstacle["node"], obstacle["kind"], obstacle["resource"]) == ("the platform", "platform", "cpu")
    assert (obstacle["limit"], obstacle["used"], obstacle["need"]) == (6000, None, 4000)
    assert obstacle["changed_by"] == ["an admin"]
    assert (told["position"], told["starts_at"], told["remedies"]) == (1, None, [])
    assert b"5000" not in answer.content
    assert b"uses" not in answer.content
    assert SECRET.encode() not in answer.content


def test_operators_are_told_all(cast: Cast, full: dict[str, Any], as_: As) -> None:
    ShareUse.objects.filter(node__key=f"team:{cast.other_team.pk}").update(amount=9 * 360_000)
    for name in ("sre", "aud"):
        told = why(as_(name), full["mine"])
        (obstacle,) = told["obstacles"]
        assert (obstacle["used"], obstacle["limit"], obstacle["need"]) == (5000, 6000, 4000)
        assert told["remedies"] == ["With 3 CPUs fewer it would start now."]
        assert told["starts_at"] is not None
        assert told["position"] == 1  # olaf used more
        assert why(as_(name), full["first"])["position"] == 2


def test_another_tenants_use_changes_nothing_that_is_told(
    cast: Cast, full: dict[str, Any], as_: As, forever: Stage
) -> None:
    before = why(as_("alice"), full["mine"])
    forever.submit(cast.olaf, team="speech", visibility="team", priority=100, resources={"cpu": 2})
    Reservation.objects.update(ends_by=F("ends_by") + timedelta(hours=5))
    forever.turn()
    assert why(as_("alice"), full["mine"]) == before


def test_for_ones_own_limits_one_is_told_the_numbers_and_who_can_help(cast: Cast, forever: Stage, as_: As) -> None:
    node = quota_node(cast.alice, cast.team)
    quotas.set_limit(node, "cpu", 4000, by=SYSTEM)
    forever.submit(cast.alice, team="vision", resources={"cpu": 3}, timeout="1h")
    forever.turn(times=2)
    waits = forever.submit(cast.alice, team="vision", visibility="team", resources={"cpu": 2})
    forever.turn()
    told = why(as_("alice"), waits)
    (obstacle,) = told["obstacles"]
    assert (obstacle["used"], obstacle["limit"], obstacle["need"]) == (3000, 4000, 2000)
    assert obstacle["sentence"] == "user alice in Vision uses 3 of 4 CPUs, and this needs 2"
    assert obstacle["changed_by"] == ["mia", "an admin"]
    assert told["remedies"] == ["With 1 CPUs fewer it would start now."]
    assert told["starts_at"] is not None


def test_what_runs_or_has_ended_says_so(cast: Cast, stage: Stage, as_: As) -> None:
    experiment = stage.submit(cast.alice)
    assert why(as_("alice"), experiment)["sentence"] == "It waits for its turn."
    stage.finish()
    told = why(as_("alice"), experiment)
    assert (told["state"], told["position"], told["obstacles"], told["standing"]) == ("succeeded", None, [], [])


@pytest.mark.parametrize("name", ["charlie", "olaf", "dana"])
def test_of_what_is_hidden_nothing_is_explained(full: dict[str, Any], as_: As, name: str) -> None:
    hidden = as_(name).get(f"{API}/experiments/{full['mine'].pk}/why/")
    problem(hidden, 404, "not_found")
    nothing = as_(name).get(f"{API}/experiments/{NOWHERE}/why/")
    assert hidden.json()["detail"] == nothing.json()["detail"]


def test_a_list_of_the_queue_costs_the_same_for_any_length(cast: Cast, stage: Stage, as_: As) -> None:
    client = as_("alice")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            good(client.get(f"{API}/queue/"))
        return len(queries)

    stage.submit(cast.alice)
    cost()
    one = cost()
    for _ in range(3):
        stage.submit(cast.alice, team="vision")
        stage.submit(cast.olaf, team="speech", visibility="public")
    assert cost() <= one + 1
    assert one <= 14


def test_the_experiment_shows_what_it_asks_for(cast: Cast, as_: As, stage: Stage) -> None:
    Resource.objects.create(name="licenses", title="Licenses")
    Resource.objects.create(name="gpu:a100", title="A100")
    spec = {"command": "true", "cluster": {"name": "fake"}}
    asked = {"cpu": "500m", "gpu": 2, "gpu_model": "a100", "other": {"licenses": 1}}
    body = good(as_("alice").post(f"{API}/experiments/", {**spec, "resources": asked}), 201)
    expected = {"cpu": 500, "memory": 1 << 30, "gpu": 2000, "disk": 0, "gpu_model": "a100", "other": {"licenses": 1}}
    assert body["resources"] == expected
    assert good(as_("alice").get(f"{API}/experiments/{body['id']}/"))["resources"] == expected
