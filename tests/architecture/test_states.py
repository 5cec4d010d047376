"""The state machine as data: complete, connected, and watched by a loop in every state that is not the end."""

from collections.abc import Mapping

from apps.compute import choices
from apps.compute.choices import ACTIVE, ON_BACKEND, POLL_SECONDS, TERMINAL, TRANSITIONS, State
from apps.experiments.services import _RUN_STATUS as RUN_STATUS


def reachable(start: str, table: Mapping[str, frozenset[str]]) -> set[str]:
    seen, waiting = {start}, [start]
    while waiting:
        new = table[waiting.pop()] - seen
        seen |= new
        waiting.extend(new)
    return seen


def test_every_state_is_in_the_table_and_in_one_set() -> None:
    assert set(TRANSITIONS) == set(State.values)
    assert set(State.values) == ACTIVE | TERMINAL
    assert set() == ACTIVE & TERMINAL
    assert ON_BACKEND < ACTIVE


def test_every_state_can_be_reached() -> None:
    assert reachable(State.QUEUED, TRANSITIONS) == set(State.values)


def test_every_active_state_leads_to_every_end_and_is_polled() -> None:
    for state in ACTIVE:
        assert TERMINAL & reachable(state, TRANSITIONS) == TERMINAL
        assert 0 < POLL_SECONDS[state] <= 5
    assert set(POLL_SECONDS) == ACTIVE


def test_an_end_is_left_only_for_the_queue() -> None:
    """A retry queues a new attempt; nothing else revives what has ended."""
    for state in TERMINAL:
        assert TRANSITIONS[state] <= {State.QUEUED}
    assert TRANSITIONS[State.SUCCEEDED] == frozenset()


def test_a_stop_can_be_asked_for_in_every_active_state() -> None:
    for state in ACTIVE:
        assert {State.STOPPED, State.STOPPING} & TRANSITIONS[state]


def test_every_end_has_a_word_for_the_run() -> None:
    assert set(RUN_STATUS) == TERMINAL


def test_other_states_are_named_in_their_constraint() -> None:
    assert {choices.ClusterState.OK, choices.ClusterState.DOWN, choices.ClusterState.UNKNOWN} == set(
        choices.ClusterState
    )


def test_an_unreachable_state_is_seen() -> None:
    assert reachable("a", {"a": frozenset({"b"}), "b": frozenset(), "c": frozenset({"a"})}) == {"a", "b"}
