"""What a batch becomes in the database, exactly."""

import math
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.errors import Conflict, IdempotencyMismatch, Invalid, NotAllowed, NotFound
from apps.tracking import batches, ingest, services
from apps.tracking.models import MetricBatch, MetricPoint, Param, Run, Tag
from tests.people import Cast
from tests.tracking.conftest import log, series, stored

LARGEST = (1 << 63) - 1


def test_points_are_kept_in_the_order_of_arrival(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (0.5, 0), (0.25, 10), (0.4, 5))
    log(run, cast.alice, (9.0, 7))
    assert stored(run) == [(0, 0.5), (10, 0.25), (5, 0.4), (7, 9.0)]


def test_the_summary_is_that_of_all_points(cast: Cast, run: Run) -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    log(run, cast.alice, (0.5, 0, noon), (0.25, 10, noon + timedelta(hours=1)))
    log(run, cast.alice, (-3, 5, noon + timedelta(hours=2)), (9.0, -7, noon - timedelta(hours=3)))
    found = series(run)
    assert (found.count, found.last_value, found.last_step) == (4, 0.25, 10)
    assert found.last_time == noon + timedelta(hours=1)
    assert (found.min_value, found.max_value) == (-3.0, 9.0)
    assert (found.first_step, found.first_time) == (-7, noon - timedelta(hours=3))
    assert found.latest_time == noon + timedelta(hours=2)


def test_last_is_by_step_then_time_then_arrival(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (1, 5, 2000), (2, 5, 1000))
    assert series(run).last_value == 1.0
    log(run, cast.alice, (3, 5, 2000))
    assert series(run).last_value == 3.0
    log(run, cast.alice, (4, 4, 9000))
    assert series(run).last_value == 3.0
    log(run, cast.alice, (5, 6, 0), (6, 6, 0))
    assert series(run).last_value == 6.0


def test_non_finite_values_are_kept_and_do_not_spoil_the_extremes(cast: Cast, run: Run) -> None:
    log(run, cast.alice, ("NaN", 0), (1.0, 1), ("-Infinity", 2), (math.nan, 3))
    values = [value for _, value in stored(run)]
    assert math.isnan(values[0])
    assert values[1:3] == [1.0, -math.inf]
    found = series(run)
    assert (found.min_value, found.max_value) == (-math.inf, 1.0)
    assert found.last_value is not None
    assert math.isnan(found.last_value)
    log(run, cast.alice, ("Infinity", 4))
    assert series(run).max_value == math.inf


def test_a_series_of_nothing_but_nan_has_no_extremes(cast: Cast, run: Run) -> None:
    log(run, cast.alice, ("NaN", 0), ("NaN", 1))
    assert (series(run).min_value, series(run).max_value) == (None, None)
    log(run, cast.alice, (2, 2))
    assert (series(run).min_value, series(run).max_value) == (2.0, 2.0)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 2**53 + 1, -0.0, 3])
def test_values_come_back_exactly(cast: Cast, run: Run, value: float) -> None:
    log(run, cast.alice, (value, 0))
    (_, kept) = stored(run)[0]
    assert kept == float(value)
    assert math.copysign(1, kept) == math.copysign(1, value)


def test_huge_and_negative_steps(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (1, LARGEST), (2, -LARGEST - 1))
    assert stored(run) == [(LARGEST, 1.0), (-LARGEST - 1, 2.0)]
    assert (series(run).first_step, series(run).last_step) == (-LARGEST - 1, LARGEST)


def test_a_point_without_a_step_follows_the_highest(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (1,), (2,))
    log(run, cast.alice, (3,), (4, 10), (5,), (6, 3), (7,))
    assert [step for step, _ in stored(run)] == [0, 1, 2, 10, 11, 3, 12]
    log(run, cast.alice, (1, -5), key="other")
    log(run, cast.alice, (2,), key="other")
    assert [step for step, _ in stored(run, "other")] == [-5, -4]


def test_no_step_follows_the_largest(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (1, LARGEST))
    with pytest.raises(Invalid, match="highest step"):
        log(run, cast.alice, (2,))
    assert stored(run) == [(LARGEST, 1.0)]


def test_keys_of_one_batch_are_counted_apart(cast: Cast, run: Run) -> None:
    rows = {"key": ["b", "a", "b", "c", "a", "b"], "value": [1, 2, 3, 4, 5, 6], "step": [0, 0, 1, 0, 1, 2]}
    services.log_batch(run, {"metrics": rows}, by=cast.alice)
    services.log_batch(run, {"metrics": rows}, by=cast.alice)
    assert stored(run, "a") == [(0, 2.0), (1, 5.0)] * 2
    assert stored(run, "b") == [(0, 1.0), (1, 3.0), (2, 6.0)] * 2
    assert stored(run, "c") == [(0, 4.0)] * 2


def test_odd_keys_come_back(cast: Cast, run: Run) -> None:
    keys = ["ключ", "🙂" * 250, "'; DROP TABLE x", "{a,b}", '"', "\\n", "NULL", "%s", "a\nb", " "]
    services.log_batch(run, {"metrics": {"key": keys, "value": list(range(len(keys)))}}, by=cast.alice)
    for number, key in enumerate(keys):
        assert stored(run, key) == [(0, float(number))]


def test_the_time_is_the_servers_unless_given(cast: Cast, run: Run) -> None:
    before = timezone.now()
    log(run, cast.alice, (1, 0), (2, 1, 1_700_000_000_123), (3, 2, "2026-01-31T12:00:00.000001Z"))
    times = list(MetricPoint.objects.filter(series=series(run)).order_by("ordinal").values_list("time", flat=True))
    assert before - timedelta(minutes=1) < times[0] < timezone.now() + timedelta(minutes=1)
    assert times[1] == datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)
    assert times[2] == datetime(2026, 1, 31, 12, 0, 0, 1, tzinfo=UTC)


def test_the_first_and_the_last_year(cast: Cast, run: Run) -> None:
    log(run, cast.alice, (1, 0, -62_135_596_800_000), (2, 1, 253_402_300_799_999))
    assert series(run).first_time == datetime(1, 1, 1, tzinfo=UTC)
    assert series(run).latest_time == datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)


def test_a_batch_sent_again_adds_nothing(cast: Cast, run: Run) -> None:
    number = uuid4()
    first = log(run, cast.alice, (1, 0), batch_id=str(number), params={"a": "1"})
    again = log(run, cast.alice, (2, 1), batch_id=str(number), params={"a": "2"})
    assert (first.duplicate, again.duplicate) == (False, True)
    assert stored(run) == [(0, 1.0)]
    assert Param.objects.get(run=run, key="a").value == "1"
    assert MetricBatch.objects.filter(run=run).count() == 1


@pytest.mark.parametrize("more", [{}, {"params": {"a": "1"}}, {"tags": {"a": "1"}}])
def test_a_batch_of_points_only_is_remembered_too(cast: Cast, run: Run, more: dict[str, object]) -> None:
    number = str(uuid4())
    assert [log(run, cast.alice, (1, 0), batch_id=number, **more).duplicate for _ in range(3)] == [False, True, True]
    assert [log(run, cast.alice, batch_id=number).duplicate for _ in range(2)] == [True, True]
    assert len(stored(run)) == 1


def test_without_an_id_every_copy_counts(cast: Cast, run: Run) -> None:
    for _ in range(3):
        assert not log(run, cast.alice, (1, 0)).duplicate
    assert len(stored(run)) == 3


def test_nobody_can_use_up_the_batch_id_of_another_run(cast: Cast, run: Run) -> None:
    own = services.create_run(services.create_project("own", by=cast.charlie), by=cast.charlie, name="mine")
    number = str(uuid4())
    log(own, cast.charlie, (1, 0), batch_id=number)
    assert not log(run, cast.alice, (1, 0), batch_id=number).duplicate
    assert len(stored(run)) == 1


def test_an_idempotency_key_serves_one_body(cast: Cast, run: Run) -> None:
    batch = batches.check({"metrics": [{"key": "loss", "value": 1, "step": 0}]})

    def send(body: bytes, sender: int = 1) -> bool:
        key = ingest.key_of(run.pk, batch, sender=sender, idempotency_key="once", body=body)
        return ingest.write(run.pk, batch, key).duplicate

    assert [send(b"x"), send(b"x"), send(b"y", sender=2)] == [False, True, False]
    with pytest.raises(IdempotencyMismatch):
        send(b"y")
    assert len(stored(run)) == 2


def test_what_is_wrong_leaves_nothing(cast: Cast, run: Run) -> None:
    with pytest.raises(Invalid):
        log(run, cast.alice, (1, 0), params={"a": "1"}, tags={"a": None}, batch_id=str(uuid4()))
    assert not MetricPoint.objects.exists()
    assert not Param.objects.exists()
    assert not MetricBatch.objects.exists()


def test_the_last_param_and_tag_win(cast: Cast, run: Run) -> None:
    services.log_batch(run, {"params": {"a": "1", "b": 2}, "tags": {"t": "x"}}, by=cast.alice)
    services.log_batch(run, {"params": {"a": "3"}, "tags": {"t": "y", "u": ""}}, by=cast.alice)
    assert dict(Param.objects.filter(run=run).values_list("key", "value")) == {"a": "3", "b": "2"}
    assert dict(Tag.objects.filter(run=run).values_list("key", "value")) == {"t": "y", "u": ""}


def test_the_longest_tag_fits_its_index(cast: Cast, run: Run) -> None:
    services.log_batch(run, {"tags": {"🙂" * 250: "é" * 750}}, by=cast.alice)
    assert Tag.objects.filter(run=run, value="é" * 750).exists()


def test_ten_thousand_keys_in_one_batch(cast: Cast, run: Run) -> None:
    keys = [f"layer/{number}/weight" for number in range(10_000)]
    services.log_batch(run, {"metrics": {"key": keys, "value": [1.5] * 10_000, "step": [0] * 10_000}}, by=cast.alice)
    assert MetricPoint.objects.count() == 10_000


def test_one_batch_is_one_statement(cast: Cast, run: Run) -> None:
    batch = batches.check({"metrics": {"key": ["a", "b"], "value": [1, 2], "step": [0, 0]}})
    before = len(connection.queries_log)
    connection.force_debug_cursor = True
    try:
        ingest.write(run.pk, batch, None)
        statements = [query["sql"] for query in list(connection.queries_log)[before:] if "tracking_" in query["sql"]]
    finally:
        connection.force_debug_cursor = False
    assert len(statements) == 1


def test_who_may_log(cast: Cast, run: Run) -> None:
    with pytest.raises(NotAllowed):
        log(run, cast.bob, (1, 0))
    with pytest.raises(NotFound):
        log(run, cast.charlie, (1, 0))
    assert not MetricPoint.objects.exists()
    log(run, cast.mia, (1, 0))
    assert len(stored(run)) == 1


def test_a_run_of_its_own_is_finished_once(cast: Cast, run: Run) -> None:
    services.finish_run(run, "failed", by=cast.alice)
    services.finish_run(run, "finished", by=cast.alice)
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.finished_at is not None
    with pytest.raises(Invalid):
        services.finish_run(run, "running", by=cast.alice)


def test_a_jobs_run_ends_with_its_job(cast: Cast) -> None:
    from tests.people import fake_cluster, submit

    fake_cluster()
    experiment = submit(cast.alice)
    with pytest.raises(Conflict):
        services.finish_run(experiment.run, "finished", by=cast.alice)
    with pytest.raises(Conflict):
        services.archive_run(experiment.run, by=cast.alice)
    experiment.run.refresh_from_db()
    assert (experiment.run.status, experiment.run.archived_at) == ("running", None)
