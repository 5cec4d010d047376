"""Shares, the queue and why something waits: who sees what, and what a maintainer may change."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.compute import services as compute
from apps.compute.models import PriorityClass, Workload
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.models import QuotaLimit, QuotaNode, Resource, ShareUse
from tests.factories import FOREVER, Stage, fresh, stage
from tests.people import Cast, submit
from tests.portal.reading import said, text_of

__all__ = ["stage"]
Browser = Callable[[str], Client]
ALICE = "/usage/teams/vision/alice/"


def words_of(response: Any) -> str:
    """Return what stands on the page, without marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text_of(response)))


def limit_of(node: QuotaNode, resource: str) -> int | None:
    return QuotaLimit.objects.filter(node=node, resource=resource).values_list("limit", flat=True).first()


@pytest.fixture
def node(cast: Cast) -> QuotaNode:
    """alice in Vision."""
    return quota_node(cast.alice, cast.team)


# -- usage


def test_members_are_shown_to_maintainers_only(node: QuotaNode, as_person: Browser) -> None:
    page = words_of(as_person("mia").get("/usage/"))
    assert "Member" in page
    assert "alice" in page
    assert "bob" in page  # who has not submitted anything yet
    assert "alice" not in words_of(as_person("bob").get("/usage/"))
    assert "Vision" not in words_of(as_person("olaf").get("/usage/"))
    assert node.name in words_of(as_person("alice").get("/usage/"))


def test_what_is_borrowed_and_what_was_added_is_shown(cast: Cast, node: QuotaNode, as_person: Browser) -> None:
    Resource.objects.create(name="licenses", title="Solver licenses")
    quotas.set_limit(node, "licenses", 5, by=SYSTEM)
    quotas.set_limit(node, "gpu", 2000, by=SYSTEM, borrow=2000)
    quotas.set_limit(quota_node(cast.mia, cast.team), "memory", 8 << 30, by=SYSTEM, borrow=4 << 30)
    quotas.reserve("test", node, [], {"gpu": 3000})
    page = words_of(as_person("alice").get("/usage/"))
    assert "Solver licenses" in page
    assert "3 of 2" in page
    assert "1 borrowed from others" in page
    assert "May borrow 4 GiB more" in words_of(as_person("mia").get("/usage/"))
    assert "1 borrowed" in words_of(as_person("mia").get("/usage/"))


def test_ones_turn_is_explained(cast: Cast, node: QuotaNode, as_person: Browser) -> None:
    ShareUse.objects.create(node=node, amount=3.6e6)
    quotas.set_weight(node, 2, by=SYSTEM)
    page = words_of(as_person("alice").get("/usage/"))
    assert "half of it is forgotten every 3 hours" in page
    assert "User alice in Vision 10.0 2 5.0" in page
    assert "User mia" not in page
    assert "10.0" in words_of(as_person("mia").get("/usage/"))  # of a member, in the team's table


# -- a member's share


def test_a_maintainer_changes_limits_and_weight(cast: Cast, node: QuotaNode, as_person: Browser) -> None:
    form = {
        "limit_cpu": "20",
        "limit_memory": "32Gi",
        "limit_experiments": "20",
        "limit_gpu": "8",
        "weight": "3",
        "reason": "paper",
    }
    response = as_person("mia").post(ALICE, form)
    assert (response.status_code, response["Location"]) == (302, "/usage/")
    assert said(response) == ["The share of alice in Vision is changed."]
    node.refresh_from_db()
    assert (limit_of(node, "cpu"), limit_of(node, "memory"), node.weight) == (20_000, 32 << 30, 3)
    changed = AuditEvent.objects.filter(action="set_limit", reason="paper")
    assert {event.data["resource"] for event in changed} == {"cpu", "memory"}  # what stayed is not written


def test_who_has_no_place_yet_gets_one(cast: Cast, as_person: Browser) -> None:
    response = as_person("mia").post("/usage/teams/vision/bob/", {"limit_gpu": "1", "weight": "1", "reason": "new"})
    assert response.status_code == 302
    assert limit_of(QuotaNode.objects.get(key=f"team:{cast.team.pk}/user:{cast.bob.pk}"), "gpu") == 1000


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("limit_cpu", "many", "is not an amount of CPUs"),
        ("limit_cpu", "65", "At most what team Vision has itself: 64 CPUs."),
        ("limit_cpu", "", "At most what team Vision has itself: 64 CPUs."),
        ("limit_memory", "-1Gi", "is not an amount"),
        ("weight", "0", "greater than or equal to 1"),
        ("weight", "", "required"),
        ("reason", "  ", "Say why."),
    ],
)
@pytest.mark.parametrize("sheet", [False, True])
def test_a_mistake_is_said_beside_the_field_and_nothing_changes(
    field: str, typed: str, sentence: str, sheet: bool, node: QuotaNode, as_person: Browser
) -> None:
    form = {
        "limit_cpu": "20",
        "limit_memory": "32Gi",
        "limit_experiments": "20",
        "limit_gpu": "7",
        "weight": "3",
        "reason": "x",
    }
    headers = {"HX-Request": "true"} if sheet else {}
    response = as_person("mia").post(ALICE, form | {field: typed}, headers=headers)
    assert response.status_code == (200 if sheet else 400)  # the sheet swaps in what is well only
    assert any(sentence in problem for problem in response.context["form"].errors[field])
    page = text_of(response)
    assert f'id="id_{field}_error"' in page
    assert 'value="7"' in page
    node.refresh_from_db()
    assert (limit_of(node, "cpu"), limit_of(node, "gpu"), node.weight) == (16_000, 8000, 1)


@pytest.mark.parametrize(
    ("person", "status"), [("alice", 403), ("bob", 403), ("olaf", 404), ("charlie", 404), ("mia", 302)]
)
def test_only_maintainers_change_shares(person: str, status: int, node: QuotaNode, as_person: Browser) -> None:
    form = {"limit_cpu": "20", "limit_memory": "32Gi", "limit_experiments": "20", "limit_gpu": "8"}
    response = as_person(person).post(ALICE, {**form, "weight": "1", "reason": "mine"})
    assert response.status_code == status
    assert (limit_of(node, "cpu") == 20_000) == (status == 302)


def test_of_somebody_else_there_is_nothing_to_change(cast: Cast, as_person: Browser) -> None:
    for name in ("charlie", "olaf", "nobody"):
        response = as_person("mia").post(f"/usage/teams/vision/{name}/", {"weight": "1", "reason": "x"})
        assert response.status_code == 404
    assert not QuotaNode.objects.filter(key__contains=f"/user:{cast.olaf.pk}").exists()


# -- the queue


def lines_of(response: Any) -> list[tuple[int, str]]:
    return [(line.position, str(line.experiment)) for line in response.context["lines"]]


@pytest.fixture
def held(stage: Stage) -> Stage:
    """A cluster that takes nothing."""
    compute.drain_cluster(stage.cluster, by=SYSTEM, reason="x")
    return stage


def test_the_queue_is_shown_in_its_order(cast: Cast, held: Stage, as_person: Browser) -> None:
    PriorityClass.objects.create(name="urgent", rank=10, open_to="everyone")
    team = {"team": "vision", "visibility": "team"}
    submit(cast.alice, name="later", **team)
    submit(cast.alice, name="sooner", priority=5, **team)
    submit(cast.mia, name="first", priority_class="urgent", **team)
    submit(cast.olaf, name="theirs", team="speech", visibility="team")
    held.turn()
    response = as_person("bob").get("/usage/queue/")
    assert lines_of(response) == [(1, "first"), (2, "sooner"), (3, "later")]
    page = words_of(response)
    assert "urgent" in page
    assert "the cluster fake takes no new work" in page
    assert "theirs" not in page
    mine = as_person("alice").get("/usage/queue/?mine=1")
    assert lines_of(mine) == [(2, "sooner"), (3, "later")]
    assert len(lines_of(as_person("sre").get("/usage/queue/"))) == 4
    assert "Nothing waits" in words_of(as_person("charlie").get("/usage/queue/"))


def test_who_used_less_stands_before(cast: Cast, held: Stage, as_person: Browser) -> None:
    ShareUse.objects.create(node=quota_node(cast.alice, cast.team), amount=1e6)
    team = {"team": "vision", "visibility": "team"}
    first, second = submit(cast.alice, name="used much", **team), submit(cast.mia, name="used little", **team)
    held.turn()
    assert lines_of(as_person("bob").get("/usage/queue/")) == [(1, "used little"), (2, "used much")]
    for experiment, place in ((first, 2), (second, 1)):
        assert f"Place {place} of" in words_of(as_person("bob").get(f"/experiments/{experiment.pk}/"))


def test_what_waited_too_long_stands_first(cast: Cast, held: Stage, as_person: Browser, settings: Any) -> None:
    team = {"team": "vision", "visibility": "team"}
    ShareUse.objects.create(node=quota_node(cast.alice, cast.team), amount=1e6)
    old, _ = submit(cast.alice, name="old", **team), submit(cast.mia, name="new", **team)
    Workload.objects.filter(pk=old.workload_id).update(queued_at=fresh(old).queued_at - 2 * settings.QUEUE_PATIENCE)
    assert lines_of(as_person("bob").get("/usage/queue/")) == [(1, "old"), (2, "new")]


# -- why it waits


@pytest.fixture
def waiting(cast: Cast, node: QuotaNode, stage: Stage) -> Experiment:
    """alice's second experiment, which does not fit her own limit."""
    stage.world.plan = lambda _name, _spec: FOREVER
    quotas.set_limit(node, "gpu", 3000, by=SYSTEM)
    submit(cast.alice, team="vision", resources={"gpu": 2}, timeout="1h")
    stage.turn()
    found = submit(cast.alice, team="vision", visibility="team", resources={"gpu": 3}, timeout="1h")
    stage.turn()
    return found


def test_the_panel_has_the_numbers_and_who_can_help(waiting: Experiment, node: QuotaNode, as_person: Browser) -> None:
    response = as_person("alice").get(f"/experiments/{waiting.pk}/")
    page = words_of(response)
    assert "user alice in Vision uses 2 of 3 GPUs, and this needs 3." in page
    assert "With 2 GPUs fewer it would start now." in page
    assert "mia, an admin" in page
    assert "Place 1 of what you see" in page
    assert "It starts 1 hour from now at the latest" in page
    assert f"/experiments/{waiting.pk}/clone/?gpu=1" in text_of(response)
    assert f"/usage/ask/?node={node.pk}&amp;resource=gpu&amp;amount=5" in text_of(response)
    form = as_person("alice").get(f"/experiments/{waiting.pk}/clone/?gpu=1&command=rm").context["form"]
    assert (form["gpu"].value(), form["command"].value()) == ("1", "true")


def test_who_only_looks_is_not_offered_to_ask(waiting: Experiment, as_person: Browser) -> None:
    page = text_of(as_person("bob").get(f"/experiments/{waiting.pk}/"))
    assert "Why is it waiting?" in page
    assert "/usage/ask/?node" not in page
    assert "How its place comes about" not in page  # what the team used lately is for those who may see that anyway
    assert "How its place comes about" in text_of(as_person("mia").get(f"/experiments/{waiting.pk}/"))


def test_of_shared_limits_the_use_is_not_told(cast: Cast, stage: Stage, as_person: Browser) -> None:
    stage.world.plan = lambda _name, _spec: FOREVER
    quotas.set_limit(quotas.platform_node(), "gpu", 4000, by=SYSTEM)
    submit(cast.olaf, team="speech", resources={"gpu": 3})
    stage.turn()
    waits = submit(cast.alice, resources={"gpu": 2})
    stage.turn()
    page = words_of(as_person("alice").get(f"/experiments/{waits.pk}/why/"))
    assert "The platform GPUs 4 not told 2" in page
    assert "fewer" not in page
    assert "at the latest" not in page
    assert "The platform GPUs 4 3 2" in words_of(as_person("sre").get(f"/experiments/{waits.pk}/why/"))


def test_the_panel_goes_when_it_starts(waiting: Experiment, node: QuotaNode, stage: Stage, as_person: Browser) -> None:
    client = as_person("alice")
    assert "hx-trigger" in text_of(client.get(f"/experiments/{waiting.pk}/why/"))
    quotas.set_limit(node, "gpu", 8000, by=SYSTEM)
    stage.turn()
    assert text_of(client.get(f"/experiments/{waiting.pk}/why/")).strip() == '<div id="why"></div>'
    assert "Why is it waiting?" not in text_of(client.get(f"/experiments/{waiting.pk}/"))


def test_who_took_it_back_is_said(cast: Cast, node: QuotaNode, stage: Stage, as_person: Browser) -> None:
    stage.world.plan = lambda _name, _spec: FOREVER
    other = quota_node(cast.mia, cast.team)
    quotas.set_limit(QuotaNode.objects.get(key=f"team:{cast.team.pk}"), "gpu", 4000, by=SYSTEM)
    quotas.set_limit(node, "gpu", 2000, by=SYSTEM, borrow=2000)
    quotas.set_limit(other, "gpu", 2000, by=SYSTEM)
    borrower = [submit(cast.alice, team="vision", resources={"gpu": 2}) for _ in range(2)]
    stage.turn(times=2)
    submit(cast.mia, team="vision", resources={"gpu": 2})
    stage.turn(times=6)
    (back,) = [one for one in borrower if fresh(one).state == "queued"]
    page = words_of(as_person("alice").get(f"/experiments/{back.pk}/"))
    assert "It ran and was taken back" in page
    assert "Started" not in page  # that was the attempt before
    assert "user mia in Vision takes back GPUs that alice in Vision had borrowed" in page


# -- the form


def test_the_form_offers_what_one_may_ask_for(cast: Cast, as_person: Browser) -> None:
    for name, open_to in (("urgent", "everyone"), ("team", "maintainers"), ("boss", "admins")):
        PriorityClass.objects.create(name=name, rank=5, open_to=open_to)
    Resource.objects.create(name="gpu:a100", title="A100")
    Resource.objects.create(name="licenses", title="Solver licenses")
    Resource.objects.create(name="disk:ssd", title="Fast disk")
    for person, classes in (("alice", {"urgent"}), ("mia", {"urgent", "team"}), ("sre", {"urgent", "team", "boss"})):
        form = as_person(person).get("/experiments/new/").context["form"]
        assert {value for value, _ in form.fields["priority_class"].choices} == {"", *classes}
    assert [label for _, label in form.fields["gpu_model"].choices] == ["Any", "A100"]
    assert set(form.others.values()) == {"licenses", "disk:ssd"}


@pytest.mark.usefixtures("cluster")
def test_what_else_was_asked_for_reaches_the_experiment_and_its_copy(cast: Cast, as_person: Browser) -> None:
    PriorityClass.objects.create(name="urgent", rank=5, open_to="everyone")
    Resource.objects.create(name="gpu:a100", title="A100")
    Resource.objects.create(name="disk:ssd", title="Fast disk")
    form = {
        "command": "true",
        "gpu": "2",
        "gpu_model": "a100",
        "other-disk:ssd": "2Gi",
        "priority_class": "urgent",
        "cluster": "fake",
    }
    assert as_person("alice").post("/experiments/new/", form).status_code == 302
    made = Experiment.objects.get()
    assert made.spec["resources"] == {"gpu": 2, "gpu_model": "a100", "other": {"disk:ssd": 2 << 30}}
    assert (fresh(made).rank, fresh(made).amounts["gpu:a100"], fresh(made).amounts["disk:ssd"]) == (5, 2000, 2 << 30)
    copy = as_person("alice").get(f"/experiments/{made.pk}/clone/").context["form"]
    assert [copy[name].value() for name in ("gpu_model", "other-disk:ssd", "priority_class")] == [
        "a100",
        "2Gi",
        "urgent",
    ]
    assert "A100" not in words_of(as_person("alice").get(f"/experiments/{made.pk}/"))  # as it was written: a100


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("priority_class", "boss", "Select a valid choice."),
        ("priority_class", "team", "You may not use that. For you there are: none."),
        ("gpu_model", "h100", "Select a valid choice."),
        ("other-licenses", "2.5", "is not a whole number"),
        ("other-licenses", "many", "is not an amount of licenses"),
    ],
)
def test_a_mistake_in_them_is_said_beside_the_field(
    field: str, typed: str, sentence: str, cast: Cast, as_person: Browser
) -> None:
    PriorityClass.objects.create(name="team", rank=5, open_to="maintainers")
    PriorityClass.objects.create(name="boss", rank=9)
    Resource.objects.create(name="gpu:a100", title="A100")
    Resource.objects.create(name="licenses", title="Solver licenses")
    response = as_person("mia").post("/experiments/new/", {"command": "true", "cluster": "fake", field: typed})
    assert response.status_code == 400
    assert any(sentence in problem for problem in response.context["form"].errors[field])
    page = text_of(response)
    assert f'id="id_{field}_error"' in page
    assert '<details class="panel fold" open>' in page
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({"priority_class": "urgent"}, "fits", "It fits now"),
        ({}, "waits", "what you queued before goes first"),
        ({"other-licenses": "3"}, "never", "at most 2 licenses; this needs 3"),
    ],
)
def test_the_preview_knows_them(
    changes: dict[str, str], verdict: str, words: str, cast: Cast, held: Stage, as_person: Browser
) -> None:
    PriorityClass.objects.create(name="urgent", rank=5, open_to="everyone")
    Resource.objects.create(name="licenses", title="Solver licenses")
    submit(cast.alice)
    compute.drain_cluster(held.cluster, by=SYSTEM, reason="x", drained=False)
    quotas.set_limit(quota_node(cast.alice, None), "licenses", 2, by=SYSTEM)
    response = as_person("alice").post("/experiments/new/preview/", {"command": "true", "cluster": "fake", **changes})
    forecast = response.context["forecast"]
    assert (forecast.verdict, words in forecast.sentence) == (verdict, True), forecast
