"""Quotas over the API: what one sees of the tree, changing limits, asking for more, what can be limited, what if."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.compute.models import PriorityClass, Workload
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode, Resource
from tests.api.answers import API, good, problem, walk
from tests.api.conftest import As
from tests.factories import Stage
from tests.people import Cast

pytestmark = pytest.mark.django_db
Find = Callable[[str], QuotaNode]
LATER = (timezone.now() + timedelta(days=30)).isoformat()


@pytest.fixture
def find(cast: Cast) -> Find:
    """A place by the last part of its story: "vision", "alice in vision", "alice", "platform"."""
    for name, team in (("alice", cast.team), ("mia", cast.team), ("olaf", cast.other_team), ("alice", None)):
        quota_node(cast.people[name], team)
    keys = {
        "platform": "platform",
        "acme": f"org:{cast.organization.pk}",
        "vision": f"team:{cast.team.pk}",
        "speech": f"team:{cast.other_team.pk}",
        "alice": f"user:{cast.alice.pk}",
        **{f"{name} in vision": f"team:{cast.team.pk}/user:{cast.people[name].pk}" for name in ("alice", "mia")},
    }
    return lambda name: QuotaNode.objects.get(key=keys[name])


def limit(node: QuotaNode, resource: str = "cpu") -> int | None:
    return QuotaLimit.objects.get(node=node, resource=resource).limit


def url(node: QuotaNode) -> str:
    return f"{API}/quotas/{node.pk}/"


# -- what one sees


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("alice", {"vision", "alice in vision", "alice"}),
        ("bob", {"vision"}),
        ("charlie", set()),
        ("mia", {"vision", "alice in vision", "mia in vision"}),
        ("olaf", {"speech"}),
    ],
)
def test_one_sees_ones_teams_and_oneself(as_: As, find: Find, name: str, seen: set[str]) -> None:
    rows = walk(as_(name), f"{API}/quotas/")
    names = ("platform", "acme", "vision", "speech", "alice", "alice in vision", "mia in vision")
    known = {find(place).pk: place for place in names}
    assert {known.get(row["id"], row["key"]) for row in rows if row["id"] in known} == seen
    for place in set(known.values()) - seen:
        problem(as_(name).get(url(find(place))), 404, "not_found")


def test_operators_see_the_whole_tree(as_: As, find: Find) -> None:
    for name in ("sre", "aud"):
        assert len(walk(as_(name), f"{API}/quotas/?limit=2")) == QuotaNode.objects.count()
    assert len(walk(as_("sre"), f"{API}/quotas/?kind=team")) == 2
    assert [row["name"] for row in walk(as_("sre"), f"{API}/quotas/?q=spee")] == ["Speech", "olaf in Speech"]
    assert walk(as_("olaf"), f"{API}/quotas/?key={find('vision').key}") == []


def test_a_place_shows_what_it_may_hold_and_holds(as_: As, find: Find, cast: Cast) -> None:
    node = find("alice in vision")
    quotas.reserve("k", node, [], {"cpu": 1500, "memory": 1 << 30})
    quotas.set_limit(node, "cpu", 8000, by=SYSTEM, borrow=2000)
    body = good(as_("alice").get(url(node)))
    assert (body["key"], body["kind"], body["path"]) == (
        node.key,
        "user",
        ["platform", "Acme", "Vision", "alice in Vision"],
    )
    assert (body["parent"], body["weight"]) == (find("vision").pk, 1)
    assert body["limits"]["cpu"] == {
        "limit": 8000, "borrow": 2000, "used": 1500, "free": 8500,
        "written": {"limit": "8", "borrow": "2", "used": "1.5", "free": "8.5"},
    }  # fmt: skip
    assert body["limits"]["memory"]["written"]["free"] == "63Gi"
    assert body["limits"]["endpoints"]["limit"] is body["limits"]["endpoints"]["written"]["limit"] is None


# -- changing limits


def test_a_maintainer_hands_out_what_his_team_has(as_: As, find: Find) -> None:
    node = find("alice in vision")
    body = {"limits": {"cpu": "32", "memory": 1 << 36}, "borrow": {"gpu": "1"}, "weight": 3, "reason": "a deadline"}
    shown = good(as_("mia").patch(url(node), body))
    assert (shown["limits"]["cpu"]["limit"], shown["limits"]["memory"]["written"]["limit"]) == (32_000, "64Gi")
    assert (shown["limits"]["gpu"]["borrow"], shown["limits"]["gpu"]["limit"], shown["weight"]) == (1000, 8000, 3)
    events = AuditEvent.objects.filter(action="set_limit", object_id=str(node.pk), actor_label="mia")
    assert {event.data["resource"] for event in events} == {"cpu", "memory", "gpu"}
    assert {event.reason for event in events} == {"a deadline"}


def test_all_or_nothing_with_a_sentence_for_each_field(as_: As, find: Find) -> None:
    node = find("alice in vision")
    body = {"limits": {"cpu": "32", "memory": "9999Gi", "llamas": 1}, "borrow": {"gpu": "64"}, "reason": "because"}
    errors = problem(as_("mia").patch(url(node), body), 400, "invalid")["errors"]
    assert set(errors) == {"limits.memory", "limits.llamas", "borrow.gpu"}
    assert errors["limits.memory"] == ["At most what team Vision has itself: 256 GiB of memory."]
    assert limit(node) == 16_000
    assert not AuditEvent.objects.filter(action="set_limit", actor_label="mia").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"limits": {"cpu": "8"}}, "reason"),
        ({"limits": {"cpu": "8"}, "reason": " "}, "reason"),
        ({"limits": {"cpu": "many"}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"cpu": -1}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"cpu": ""}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"cpu": True}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"cpu": 1.5}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"cpu": 1 << 60}, "reason": "x"}, "limits.cpu"),
        ({"limits": {"experiments": "1.5"}, "reason": "x"}, "limits.experiments"),
        ({"borrow": {"cpu": None}, "reason": "x"}, "borrow.cpu"),
        ({"weight": 0, "reason": "x"}, "weight"),
    ],
)
def test_what_is_no_limit_is_refused(as_: As, find: Find, body: dict[str, Any], field: str) -> None:
    node = find("vision")
    errors = problem(as_("sre").patch(url(node), body), 400, "invalid")["errors"]
    assert list(errors) == [field]
    assert (limit(node), QuotaNode.objects.get(pk=node.pk).weight) == (64_000, 1)


@pytest.mark.parametrize(
    ("name", "place", "status"),
    [
        ("alice", "alice in vision", 403), ("alice", "vision", 403), ("mia", "vision", 403), ("mia", "acme", 404),
        ("mia", "platform", 404), ("mia", "speech", 404), ("bob", "alice in vision", 404), ("aud", "platform", 403),
        ("charlie", "vision", 404),
    ],
)  # fmt: skip
def test_nobody_else_changes_a_limit(as_: As, find: Find, name: str, place: str, status: int) -> None:
    before = limit(find(place))
    answer = as_(name).patch(url(find(place)), {"limits": {"cpu": "1"}, "reason": "x"})
    problem(answer, status, {403: "forbidden", 404: "not_found"}[status])
    assert limit(find(place)) == before
    assert not AuditEvent.objects.filter(action="set_limit", actor_label=name).exclude(outcome="denied").exists()


def test_null_removes_a_limit_but_not_below_a_teams(as_: As, find: Find) -> None:
    body = {"limits": {"cpu": None}, "reason": "no bound"}
    problem(as_("mia").patch(url(find("alice in vision")), body), 400, "invalid")
    good(as_("sre").patch(url(find("vision")), body))
    good(as_("mia").patch(url(find("alice in vision")), body))
    assert limit(find("vision")) is limit(find("alice in vision")) is None


def test_what_a_cluster_reports_is_not_written(as_: As, stage: Stage, cast: Cast) -> None:
    stage.submit(cast.alice)
    node = QuotaNode.objects.get(kind="cluster")
    errors = problem(as_("sre").patch(url(node), {"limits": {"cpu": "1"}, "reason": "x"}), 400, "invalid")["errors"]
    assert list(errors) == ["limits.cpu"]
    good(as_("sre").patch(url(node), {"limits": {"experiments": 3}, "reason": "x"}))
    assert limit(node, "experiments") == 3


def test_a_repeat_changes_nothing_twice(as_: As, find: Find) -> None:
    client, body = as_("sre"), {"limits": {"cpu": "8"}, "reason": "x"}
    first = good(client.patch(url(find("vision")), body, headers={"Idempotency-Key": "k"}))
    quotas.set_limit(find("vision"), "cpu", 9000, by=SYSTEM)
    assert good(client.patch(url(find("vision")), body, headers={"Idempotency-Key": "k"})) == first
    assert limit(find("vision")) == 9000


# -- asking for more


def test_a_request_from_asking_to_the_answer(as_: As, find: Find) -> None:
    node = find("alice in vision")
    body = {"node": node.key, "resource": "cpu", "amount": "32", "reason": "a deadline", "until": LATER}
    made = good(as_("alice").post(f"{API}/allocation-requests/", body), 201)
    assert (made["state"], made["amount"], made["before"], made["given"]) == ("open", 32_000, 16_000, None)
    assert made["written"] == {"amount": "32", "before": "16", "given": None}
    assert (made["node"], made["asked_by"]) == (
        {"id": node.pk, "key": node.key, "name": "user alice in Vision"},
        "alice",
    )
    path = f"{API}/allocation-requests/{made['id']}/"
    assert [row["id"] for row in walk(as_("mia"), f"{API}/allocation-requests/?to_decide=1")] == [made["id"]]
    assert walk(as_("alice"), f"{API}/allocation-requests/?to_decide=1") == []
    assert [row["id"] for row in walk(as_("alice"), f"{API}/allocation-requests/?mine=1&state=open")] == [made["id"]]
    problem(as_("alice").post(f"{path}approve/"), 403, "forbidden")
    assert limit(node) == 16_000
    done = good(as_("mia").post(f"{path}approve/", {"amount": "24", "note": "that much"}))
    assert (done["state"], done["given"], done["decided_by"], done["note"]) == ("approved", 24_000, "mia", "that much")
    assert limit(node) == 24_000
    assert problem(as_("mia").post(f"{path}refuse/"), 409, "conflict")["state"] == "approved"
    assert problem(as_("alice").post(f"{path}withdraw/"), 409, "conflict")["state"] == "approved"


def test_nobody_approves_his_own(as_: As, find: Find) -> None:
    node = find("mia in vision")
    body = {"node": str(node.pk), "resource": "cpu", "amount": "32", "reason": "x"}
    made = good(as_("mia").post(f"{API}/allocation-requests/", body), 201)
    problem(as_("mia").post(f"{API}/allocation-requests/{made['id']}/approve/"), 409, "conflict")
    assert limit(node) == 16_000
    assert walk(as_("mia"), f"{API}/allocation-requests/?to_decide=1") == []


def test_a_request_is_seen_by_the_team_and_who_decides(as_: As, find: Find, cast: Cast) -> None:
    made = quotas.request_allocation(find("vision"), "cpu", 99_000, by=cast.alice, reason="plover")
    path = f"{API}/allocation-requests/{made.pk}/"
    for name in ("alice", "bob", "mia", "sre", "aud"):
        assert good(as_(name).get(path))["reason"] == "plover"
    for name in ("charlie", "olaf", "dana"):
        problem(as_(name).get(path), 404, "not_found")
        assert walk(as_(name), f"{API}/allocation-requests/") == []
        for verb in ("approve", "refuse", "withdraw"):
            problem(as_(name).post(f"{path}{verb}/"), 404, "not_found")
    problem(as_("bob").post(f"{path}refuse/"), 403, "forbidden")
    problem(as_("sre").post(f"{path}withdraw/"), 403, "forbidden")
    made.refresh_from_db()
    assert made.state == "open"
    assert good(as_("alice").post(f"{path}withdraw/"))["state"] == "withdrawn"


@pytest.mark.parametrize("place", ["speech", "platform", "acme"])
def test_a_place_that_is_hidden_is_like_none(as_: As, find: Find, place: str) -> None:
    body = {"resource": "cpu", "amount": "99", "reason": "x"}
    answers = [
        problem(as_("alice").post(f"{API}/allocation-requests/", {**body, "node": node}), 400, "invalid")["errors"]
        for node in (find(place).key, str(find(place).pk), "team:999999", "999999", "९", "9" * 40)
    ]
    assert answers == [{"node": ["There is no such place, or you may not see it."]}] * 6
    assert not AllocationRequest.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"amount": "16"}, "amount"), ({"amount": "x"}, "amount"), ({"resource": "llamas"}, "resource"),
        ({"reason": ""}, "reason"), ({"until": "2001-01-01T00:00:00Z"}, "until"), ({"until": "soon"}, "until"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(as_: As, find: Find, body: dict[str, Any], field: str) -> None:
    whole = {"node": find("alice in vision").key, "resource": "cpu", "amount": "32", "reason": "x", **body}
    errors = problem(as_("alice").post(f"{API}/allocation-requests/", whole), 400, "invalid")["errors"]
    assert list(errors) == [field]
    assert not AllocationRequest.objects.exists()


def test_an_unknown_state_is_refused(as_: As) -> None:
    problem(as_("alice").get(f"{API}/allocation-requests/?state=lost"), 400, "invalid")


def test_a_reading_token_asks_for_nothing(as_: As, find: Find) -> None:
    body = {"node": find("alice in vision").key, "resource": "cpu", "amount": "32", "reason": "x"}
    client = as_("alice", scopes=("read",))
    answer = problem(client.post(f"{API}/allocation-requests/", body), 403, "insufficient_scope")
    assert answer["need"] == ["quotanode:request"]
    assert not AllocationRequest.objects.exists()


# -- what can be limited


def test_resources_are_added_changed_and_deleted_by_admins(as_: As, find: Find) -> None:
    sre, body = as_("sre"), {"name": "licenses", "title": "Licenses", "weight": 50}
    assert good(sre.post(f"{API}/resources/", body), 201)["built_in"] is False
    problem(sre.post(f"{API}/resources/", body), 409, "conflict")
    names = [row["name"] for row in good(as_("charlie").get(f"{API}/resources/"))]
    assert names[:4] == ["cpu", "memory", "gpu", "disk"]
    assert names[-1] == "licenses"
    assert good(sre.patch(f"{API}/resources/licenses/", {"title": "Seats"}))["title"] == "Seats"
    assert "licenses" in good(as_("alice").get(url(find("alice"))))["limits"]
    assert sre.delete(f"{API}/resources/licenses/").status_code == 204
    assert not Resource.objects.exists()
    problem(sre.delete(f"{API}/resources/licenses/"), 404, "not_found")
    events = AuditEvent.objects.filter(object_type="quotas.resource", actor_label="sre").exclude(
        action__startswith="row."
    )
    assert list(events.order_by("id").values_list("action", flat=True)) == ["create", "update", "delete"]


def test_what_is_built_in_may_be_called_otherwise(as_: As) -> None:
    sre = as_("sre")
    assert good(sre.patch(f"{API}/resources/cpu/", {"title": "Cores"}))["title"] == "Cores"
    assert good(sre.get(f"{API}/resources/"))[0]["title"] == "Cores"
    assert sre.delete(f"{API}/resources/cpu/").status_code == 204
    assert good(sre.get(f"{API}/resources/"))[0]["title"] == "CPUs"
    problem(sre.patch(f"{API}/resources/llamas/", {"title": "x"}), 404, "not_found")


@pytest.mark.parametrize("name", ["Licenses", "a b", "a::b", "", "x" * 41])
def test_a_name_that_is_none_is_refused(as_: As, name: str) -> None:
    problem(as_("sre").post(f"{API}/resources/", {"name": name, "title": "x"}), 400, "invalid")
    assert not Resource.objects.exists()


def test_what_is_in_use_is_not_deleted(as_: As, find: Find, stage: Stage, cast: Cast) -> None:
    quotas.save_resource(Resource(name="licenses", title="Licenses"), by=SYSTEM)
    sre, path = as_("sre"), f"{API}/resources/licenses/"
    quotas.set_limit(find("vision"), "licenses", 2, by=SYSTEM)
    assert "team Vision has a limit" in problem(sre.delete(path), 409, "conflict")["detail"]
    quotas.set_limit(find("vision"), "licenses", None, by=SYSTEM)
    stage.submit(cast.alice, resources={"other": {"licenses": 1}})
    assert "true asks for it" in problem(sre.delete(path), 409, "conflict")["detail"]
    stage.plan(duration=None)
    stage.turn()
    assert "the platform holds some" in problem(sre.delete(path), 409, "conflict")["detail"]
    assert Resource.objects.filter(name="licenses").exists()


@pytest.mark.parametrize("name", ["alice", "mia", "aud"])
def test_nobody_else_says_what_is_limited_or_who_goes_first(as_: As, name: str) -> None:
    Resource.objects.create(name="licenses", title="Licenses")
    PriorityClass.objects.create(name="high", rank=10)
    client = as_(name)
    for kind, key, body in (
        ("resources", "licenses", {"name": "x", "title": "x"}),
        ("priority-classes", "high", {"name": "x", "rank": 1}),
    ):
        problem(client.post(f"{API}/{kind}/", body), 403, "forbidden")
        problem(client.patch(f"{API}/{kind}/{key}/", {}), 403, "forbidden")
        problem(client.delete(f"{API}/{kind}/{key}/"), 403, "forbidden")
    assert list(Resource.objects.values_list("name", "title")) == [("licenses", "Licenses")]
    assert list(PriorityClass.objects.values_list("name", "rank")) == [("high", 10)]


# -- priority classes


def test_priority_classes_are_kept_by_admins_and_used_by_who_may(as_: As, stage: Stage, cast: Cast) -> None:
    sre = as_("sre")
    for name, rank, open_to in (("urgent", 50, "maintainers"), ("idle", -50, "everyone"), ("ops", 90, "admins")):
        made = good(sre.post(f"{API}/priority-classes/", {"name": name, "rank": rank, "open_to": open_to}), 201)
        assert made == {"name": name, "rank": rank, "open_to": open_to, "description": ""}
    assert [row["name"] for row in walk(as_("charlie"), f"{API}/priority-classes/?limit=1")] == [
        "ops",
        "urgent",
        "idle",
    ]
    spec = {"command": "true", "cluster": {"name": "fake"}, "team": "vision"}
    body = problem(as_("alice").post(f"{API}/experiments/", {**spec, "priority_class": "urgent"}), 400, "invalid")
    assert body["errors"] == {"priority_class": ["You may not use that. For you there are: idle."]}
    assert not Workload.objects.exists()
    shown = good(as_("mia").post(f"{API}/experiments/", {**spec, "priority_class": "urgent"}), 201)
    assert shown["priority_class"] == "urgent"
    assert "waits" in problem(sre.delete(f"{API}/priority-classes/urgent/"), 409, "conflict")["detail"]
    assert good(sre.patch(f"{API}/priority-classes/urgent/", {"rank": 60}))["rank"] == 60
    assert Workload.objects.get().rank == 50
    assert sre.delete(f"{API}/priority-classes/idle/").status_code == 204
    problem(sre.get(f"{API}/priority-classes/idle/"), 404, "not_found")
    problem(sre.post(f"{API}/priority-classes/", {"name": "urgent", "rank": 1}), 400, "invalid")
    problem(sre.post(f"{API}/priority-classes/", {"name": "x", "rank": 1001}), 400, "invalid")
    assert PriorityClass.objects.count() == 2


# -- what if


def test_operators_ask_what_would_start(as_: As, stage: Stage, cast: Cast, find: Find) -> None:
    fits = stage.submit(cast.olaf, team="speech", name="plover")
    waits = stage.submit(cast.alice, team="vision", name="big", resources={"cpu": 8})
    quotas.set_limit(find("vision"), "cpu", 4000, by=SYSTEM)
    body = {"limits": [{"node": find("vision").key, "resource": "cpu", "limit": "8"}]}
    for name in ("sre", "aud"):
        found = good(as_(name).post(f"{API}/quotas/what-if/", body))
        assert [row["id"] for row in found["as_it_is"]] == [str(fits.pk)]
        assert found["besides"] == [{"id": str(waits.pk), "name": "big", "owner": "alice", "team": "vision"}]
    assert limit(find("vision")) == 4000
    assert set(Workload.objects.values_list("state", flat=True)) == {"queued"}


@pytest.mark.parametrize("name", ["alice", "mia", "charlie"])
def test_nobody_else_asks_what_if(as_: As, stage: Stage, cast: Cast, find: Find, name: str) -> None:
    stage.submit(cast.olaf, team="speech", name="plover")
    body = {"limits": [{"node": find("vision").key, "resource": "cpu", "limit": "8"}]}
    answer = as_(name).post(f"{API}/quotas/what-if/", body)
    problem(answer, 403, "forbidden")
    assert b"plover" not in answer.content


def test_a_limit_of_something_new_is_tried_as_well(as_: As, stage: Stage, cast: Cast, find: Find) -> None:
    Resource.objects.create(name="licenses", title="Licenses")
    stage.submit(cast.alice, team="vision", resources={"other": {"licenses": 2}})
    client: APIClient = as_("sre")
    body = {"limits": [{"node": find("vision").key, "resource": "experiments", "limit": None}]}
    assert len(good(client.post(f"{API}/quotas/what-if/", body))["as_it_is"]) == 1
    body = {"limits": [{"node": find("vision").key, "resource": "licenses", "limit": 1}]}
    assert good(client.post(f"{API}/quotas/what-if/", body))["besides"] == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"node": "team:999"}, "limits[0].node"),
        ({"resource": "llamas"}, "limits[0].resource"),
        ({"limit": "x"}, "limits[0].limit"),
    ],
)
def test_a_what_if_of_nothing_is_refused(as_: As, find: Find, change: dict[str, Any], field: str) -> None:
    whole = {"node": find("vision").key, "resource": "cpu", "limit": "8", **change}
    assert list(problem(as_("sre").post(f"{API}/quotas/what-if/", {"limits": [whole]}), 400, "invalid")["errors"]) == [
        field
    ]
