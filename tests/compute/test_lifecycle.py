"""States: the only ways between them, in Python and in the database, and who may take them."""

import uuid
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from apps.compute import handlers, lifecycle
from apps.compute.choices import ACTIVE, TERMINAL, TRANSITIONS, State
from apps.compute.models import Workload, WorkloadEvent
from apps.compute.reconcile.claim import claim_due, hold_loop, note_loop, release_lease
from apps.compute.times import later
from apps.core.errors import Stale
from apps.tracking.models import Run
from tests.factories import LONG_AGO, Stage, attempt_of, fresh
from tests.people import Cast

PAIRS = [pair for pair in product(State.values, State.values) if pair[0] != pair[1]]


def force(workload: Workload, state: str) -> None:
    """Put a row into a state, past every guard."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE compute_workload DISABLE TRIGGER workload_transition")
        cursor.execute("UPDATE compute_workload SET state = %s WHERE id = %s", [state, workload.pk])
        cursor.execute("ALTER TABLE compute_workload ENABLE TRIGGER workload_transition")


def by_sql(workload: Workload, state: str, step: int = 1) -> bool:
    """Try a change of state behind the back of the code; say whether the database let it pass."""
    try:
        with transaction.atomic():
            Workload.objects.filter(pk=workload.pk).update(state=state, state_version=workload.state_version + step)
    except IntegrityError:
        return False
    return True


@pytest.fixture
def workload(cast: Cast, stage: Stage) -> Workload:
    made = fresh(stage.submit(cast.alice))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or ALTER TABLE finds pending events
    return made


def test_the_database_knows_the_same_transitions(workload: Workload) -> None:
    allowed = set()
    for source, target in PAIRS:
        force(workload, source)
        workload.refresh_from_db()
        if by_sql(workload, target):
            allowed.add((source, target))
    assert allowed == {(source, target) for source, targets in TRANSITIONS.items() for target in targets}


def test_a_state_change_needs_a_new_version(workload: Workload) -> None:
    assert not by_sql(workload, State.STARTING, step=0)
    assert by_sql(workload, State.STARTING, step=1)


def test_the_database_refuses_an_unknown_state(workload: Workload) -> None:
    assert not by_sql(workload, "flying")


def test_the_history_is_not_changed(workload: Workload) -> None:
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        WorkloadEvent.objects.update(message="nothing happened")
    assert not WorkloadEvent.objects.filter(workload=workload, message="nothing happened").exists()


def test_every_state_is_terminal_or_active_and_leads_to_an_end() -> None:
    assert set(State.values) == TERMINAL | ACTIVE
    for state in ACTIVE:
        assert TRANSITIONS[state] & TERMINAL


@pytest.mark.parametrize(
    ("source", "target"), [("queued", "running"), ("succeeded", "queued"), ("stopping", "running")]
)
def test_an_illegal_transition_is_a_bug(workload: Workload, source: str, target: str) -> None:
    force(workload, source)
    workload.refresh_from_db()
    with pytest.raises(ValueError, match="is not a transition"):
        lifecycle.transition(workload, target, actor="test")
    assert fresh_state(workload) == source


def fresh_state(workload: Workload) -> str:
    state: str = Workload.objects.values_list("state", flat=True).get(pk=workload.pk)
    return state


def test_a_transition_writes_row_event_and_version(workload: Workload) -> None:
    lifecycle.transition(workload, State.STARTING, actor="test", reason="Why", message="because", attempt_no=1)
    assert (workload.state, workload.state_version, workload.attempt_no) == ("starting", 1, 1)
    row = Workload.objects.get(pk=workload.pk)
    assert (row.state, row.state_version, row.reason, row.message) == ("starting", 1, "Why", "because")
    event = WorkloadEvent.objects.get(workload=workload, seq=1)
    told = (event.from_state, event.to_state, event.actor, event.reason, event.message, event.attempt_no)
    assert told == ("queued", "starting", "test", "Why", "because", 1)


def test_the_second_of_two_is_stale(workload: Workload) -> None:
    rival = Workload.objects.get(pk=workload.pk)
    lifecycle.transition(workload, State.STARTING, actor="first")
    with pytest.raises(Stale):
        lifecycle.transition(rival, State.STOPPED, actor="second")
    assert fresh_state(workload) == "starting"
    assert not WorkloadEvent.objects.filter(actor="second").exists()


def test_an_old_version_is_stale_even_in_the_same_state(workload: Workload) -> None:
    Workload.objects.filter(pk=workload.pk).update(state_version=5)
    with pytest.raises(Stale):
        lifecycle.transition(workload, State.STARTING, actor="test")


def test_a_lost_lease_is_stale(workload: Workload) -> None:
    Workload.objects.filter(pk=workload.pk).update(lease_epoch=7)
    with pytest.raises(Stale):
        lifecycle.transition(workload, State.STARTING, actor="test", epoch=6)
    lifecycle.transition(workload, State.STARTING, actor="test", epoch=7)


def test_owners_are_told_in_the_same_transaction(workload: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_workload: Workload, _from_state: str) -> None:
        msg = "no"
        raise RuntimeError(msg)

    monkeypatch.setattr(handlers, "_handlers", [refuse])
    with pytest.raises(RuntimeError):
        lifecycle.transition(workload, State.STARTING, actor="test")
    assert fresh_state(workload) == "queued"
    assert WorkloadEvent.objects.filter(workload=workload).count() == 1


def test_the_run_follows_its_workload(cast: Cast, stage: Stage) -> None:
    stage.plan(exit_code=3)
    experiment = stage.submit(cast.alice)
    stage.turn(times=3)
    run = Run.objects.get(pk=experiment.pk)
    assert (run.status, run.finished_at) == ("failed", fresh(experiment).finished_at)


# --- leases


def started(cast: Cast, stage: Stage, count: int = 1) -> list[Workload]:
    stage.plan(duration=None)
    made = [stage.submit(cast.alice) for _ in range(count)]
    stage.turn(times=2)
    Workload.objects.update(next_reconcile_at=LONG_AGO, lease_until=None)
    return [fresh(experiment) for experiment in made]


def test_two_owners_never_get_the_same_row(cast: Cast, stage: Stage) -> None:
    started(cast, stage, 5)
    first, second = claim_due("a", limit=3), claim_due("b", limit=9)
    assert (len(first), len(second)) == (3, 2)
    assert not {row.pk for row in first} & {row.pk for row in second}
    assert claim_due("c", limit=9) == []
    assert {row.lease_owner for row in second} == {"b"}


def test_a_claim_takes_what_is_due_only(cast: Cast, stage: Stage) -> None:
    (workload,) = started(cast, stage)
    Workload.objects.update(next_reconcile_at=later(60))
    assert claim_due("a", limit=9) == []
    assert [row.pk for row in claim_due("a", limit=9, ids=[workload.pk])] == [workload.pk]
    assert claim_due("a", limit=9, ids=[uuid.uuid4()]) == []


def test_an_expired_lease_is_taken_over_and_the_old_holder_refused(cast: Cast, stage: Stage) -> None:
    started(cast, stage)
    (old,) = claim_due("slow", limit=1)
    Workload.objects.update(lease_until=Now() - timedelta(hours=1))
    (new,) = claim_due("quick", limit=1)
    assert new.lease_epoch == old.lease_epoch + 1
    with pytest.raises(Stale):
        lifecycle.transition(old, State.STOPPING, actor="slow", epoch=old.lease_epoch)
    release_lease(old)
    assert claim_due("third", limit=1) == []
    lifecycle.transition(new, State.STOPPING, actor="quick", epoch=new.lease_epoch)


def test_a_released_lease_is_free(cast: Cast, stage: Stage) -> None:
    started(cast, stage)
    (held,) = claim_due("a", limit=1)
    release_lease(held)
    assert len(claim_due("b", limit=1)) == 1


def test_the_old_holder_does_not_end_an_attempt(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    old = fresh(experiment)
    Workload.objects.update(lease_epoch=old.lease_epoch + 1)
    with pytest.raises(Stale):
        lifecycle.finish(
            old, attempt_of(experiment), State.LOST, epoch=old.lease_epoch, actor="slow", reason="x", message="x"
        )
    assert attempt_of(experiment).verdict == ""
    assert fresh(experiment).state == "running"


def test_a_loop_is_held_by_one(db: None) -> None:
    assert hold_loop("sweep", "a", seconds=60)
    assert hold_loop("sweep", "a", seconds=60)
    assert not hold_loop("sweep", "b", seconds=60)
    assert hold_loop("audit", "b", seconds=60)
    note_loop("sweep", "fine")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE compute_loop SET lease_until = now() - interval '1 s' WHERE name = 'sweep'")
    assert hold_loop("sweep", "b", seconds=60)


def test_the_database_refuses_an_end_before_the_start(workload: Workload) -> None:
    facts: dict[str, Any] = {"started_at": Now(), "finished_at": LONG_AGO}
    with pytest.raises(IntegrityError), transaction.atomic():
        Workload.objects.filter(pk=workload.pk).update(**facts)
