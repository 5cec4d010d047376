"""Filters, log text, usage, forecast: what is read, and only of what one may see."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.compute import logs as store
from apps.compute import services as compute
from apps.compute.models import Attempt, PriorityClass
from apps.core.errors import Invalid, NotFound
from apps.experiments import logs, spec, usage
from apps.experiments.filters import ExperimentFilter
from apps.experiments.forecast import forecast
from apps.experiments.models import Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.tracking.models import Run
from tests.factories import Stage, attempt_of
from tests.people import Cast

TEXT = "aß€😀\n" * 50


def found(query: str, person: Any) -> list[str]:
    rows = Experiment.objects.visible_to(person, "view")
    return sorted(row.run.name for row in ExperimentFilter.read(QueryDict(query)).apply(rows).with_details())


@pytest.fixture
def three(cast: Cast, stage: Stage) -> Cast:
    stage.submit(cast.alice, name="one", tags={"k": "v", "a": "b=c"}, team="vision")
    stage.submit(cast.mia, name="two%", kind="python", team="vision")
    stage.finish()
    stage.submit(cast.alice, name="three", tags={"k": "w"})
    return cast


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["one", "three", "two%"]),
        ("state=queued", ["three"]),
        ("state=queued&state=succeeded", ["one", "three", "two%"]),
        ("kind=python", ["two%"]),
        ("team=vision", ["one", "two%"]),
        ("team=nowhere", []),
        ("owner=mia", ["two%"]),
        ("q=ON", ["one"]),
        ("q=%25", ["two%"]),
        ("q=_", []),
        ("q='", []),
        ("tag=k%3Dv", ["one"]),
        ("tag=k%3Dv&tag=k%3Dw", []),
        ("tag=a%3Db%3Dc", ["one"]),
        ("project=default", ["one", "three", "two%"]),
        ("project=nowhere", []),
        ("project=00000000-0000-0000-0000-000000000000", []),
        ("created_after=2001-01-01T00:00:00Z&created_before=2099-01-01T00:00:00%2B02:00", ["one", "three", "two%"]),
        ("created_after=2099-01-01T00:00:00Z", []),
        ("created_before=0001-01-01T00:00:00%2B14:00", []),
        ("created_after=9999-12-31T23:59:59-14:00", []),
        ("state=&kind=&q=", ["one", "three", "two%"]),
        ("unknown=1", ["one", "three", "two%"]),
    ],
)
def test_a_list_is_narrowed(three: Cast, query: str, names: list[str]) -> None:
    assert found(query, three.sre) == names


def test_a_filter_never_widens(three: Cast) -> None:
    assert found("owner=alice", three.bob) == ["one"]
    assert found("owner=alice", three.charlie) == []
    assert found("tag=k%3Dw&q=three", three.mia) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=flying", "state"),
        ("state=queued%00", "state"),
        ("kind=%00", "kind"),
        (f"q={'x' * 251}", "q"),
        ("project=a%00", "project"),
        ("tag=novalue", "tag"),
        ("tag=a%3D%00", "tag"),
        ("created_after=yesterday", "created_after"),
        ("created_after=2026-13-41T00:00:00Z", "created_after"),
        ("created_before=2026-01-01T00:00:00", "created_before"),
    ],
)
def test_a_bad_filter_is_named(query: str, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ExperimentFilter.read(QueryDict(query))
    assert list(refusal.value.errors) == [field]


# --- log text


@pytest.fixture
def attempt(cast: Cast, stage: Stage) -> Attempt:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn()
    return attempt_of(experiment)


def put(attempt: Attempt, data: bytes) -> Attempt:
    store.append(attempt.pk, attempt.log_bytes, data)
    attempt.refresh_from_db()
    return attempt


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 6, 7, 11, 64, 1 << 20])
def test_reading_on_never_cuts_a_character(attempt: Attempt, limit: int) -> None:
    put(attempt, TEXT.encode())
    offset, pieces = 0, []
    while offset < attempt.log_bytes:
        piece = logs.read_text(attempt, offset=offset, limit=limit)
        assert piece.next_offset > offset
        offset = piece.next_offset
        pieces.append(piece.data)
    assert "".join(pieces) == TEXT


def test_half_a_character_at_the_end_waits_for_its_rest(attempt: Attempt) -> None:
    data = "a€".encode()
    put(attempt, data[:2])
    piece = logs.read_text(attempt, offset=0)
    assert (piece.data, piece.next_offset, piece.eof) == ("a", 1, False)
    assert logs.read_text(attempt, offset=1).data == ""
    put(attempt, data[2:])
    assert logs.read_text(attempt, offset=1).data == "€"


def test_half_a_character_at_the_very_end_is_shown(attempt: Attempt) -> None:
    put(attempt, b"a\xe2\x82")
    store.end(attempt.pk)
    attempt.refresh_from_db()
    piece = logs.read_text(attempt, offset=0)
    assert (piece.data, piece.next_offset, piece.eof) == ("a\ufffd", 3, True)


@pytest.mark.parametrize("data", [b"\xff\xfe\xfd\xfc", b"\x80" * 9, b"a\xffb", b"\xc3(\xf0\x28\x8c\x28"])
def test_bytes_that_are_no_text_do_not_stop_the_reader(attempt: Attempt, data: bytes) -> None:
    put(attempt, data + b"end\n")
    piece = logs.read_text(attempt, offset=0)
    assert piece.data.endswith("end\n")
    assert piece.next_offset == len(data) + 4


def test_the_tail_begins_with_a_whole_character(attempt: Attempt) -> None:
    put(attempt, TEXT.encode())
    for back in range(1, 30):
        piece = logs.read_text(attempt, offset=-back)
        assert TEXT.endswith(piece.data)
        assert piece.offset == attempt.log_bytes - len(piece.data.encode())
    assert logs.read_text(attempt, offset=-(10**9)).data == TEXT


@pytest.mark.parametrize("limit", [0, -1, (1 << 20) + 1])
def test_a_bad_limit_is_refused(attempt: Attempt, limit: int) -> None:
    with pytest.raises(Invalid):
        logs.read_text(attempt, offset=0, limit=limit)


def test_before_the_first_attempt_there_is_no_log(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice)
    assert logs.attempt_of(experiment, None) is None
    assert logs.read_text(None, offset=0) == logs.LogText(0, 0, "", eof=False, attempt=0, total_bytes=0)
    for number in (1, 0, -1, 10**15):
        with pytest.raises(NotFound):
            logs.attempt_of(experiment, number)


# --- usage and forecast


def test_usage_shows_ones_own_nodes(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    stage.submit(cast.alice, team="vision")
    stage.submit(cast.charlie)
    stage.turn()
    names = {(node.kind, node.name) for node in usage.nodes_of(cast.bob)}
    assert names == {("team", "Vision")}  # what all tenants use together would tell of the others
    names = {(node.kind, node.name) for node in usage.nodes_of(cast.alice)}
    assert ("user", "alice in Vision") in names
    assert ("user", "charlie") not in names
    platform = next(node for node in usage.nodes_of(cast.sre) if node.kind == "platform")
    assert platform.resources["cpu"] == {"used": 2000, "limit": None}


def test_the_queue_shows_ones_own_with_the_place_in_what_one_sees(cast: Cast, stage: Stage) -> None:
    compute.drain_cluster(stage.cluster, by=SYSTEM, reason="x")
    stage.submit(cast.charlie, priority=9, name="secret")
    PriorityClass.objects.create(name="urgent", rank=8, open_to="everyone")
    stage.submit(cast.mia, priority_class="urgent", name="the team's", team="vision")
    mine = stage.submit(cast.alice, name="mine")
    stage.turn()
    (waiting,) = usage.waiting_of(cast.alice)
    assert (waiting.id, waiting.name, waiting.position) == (str(mine.pk), "mine", 2)
    assert waiting.reason == "waiting: the cluster fake takes no new work"
    assert usage.waiting_of(cast.bob) == []


def say(by: Any, **document: Any) -> tuple[str, str]:
    told = forecast(spec.parse({"command": "true", **document}), by=by)
    return told.verdict, told.sentence


def test_a_forecast_for_each_case(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    quotas.set_limit(quota_node(cast.alice, None), "cpu", 2000, by=SYSTEM)
    assert say(cast.alice) == ("fits", "It fits now and would start on fake at once.")
    assert say(cast.alice, resources={"cpu": 3})[0] == "never"
    assert say(cast.alice, cluster={"name": "nowhere"})[0] == "never"
    stage.submit(cast.alice, resources={"cpu": 2})
    assert say(cast.alice)[1] == "There is room on fake, but what you queued before goes first."
    stage.turn()
    assert say(cast.alice) == ("waits", "It would wait: user alice uses 2 of 2 CPUs, and this needs 1.")
    compute.drain_cluster(stage.cluster, by=SYSTEM, reason="x")
    assert say(cast.charlie) == ("waits", "It would wait: the cluster fake takes no new work.")
    assert say(cast.mia, team="vision")[0] == "waits"


def test_the_run_ends_when_its_job_did(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=3)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stage.pass_time(100)
    stage.finish()
    run = Run.objects.get(pk=experiment.pk)
    assert run.finished_at == stage.world.now - timedelta(seconds=97)
    assert run.created_at < timezone.now()
