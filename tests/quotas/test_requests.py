"""Asking for more: who may ask, who answers, what is given, and that it ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.choices import RequestState
from apps.quotas.models import AllocationRequest, QuotaLimit, QuotaNode
from apps.quotas.services import requests
from tests.factories import in_threads
from tests.people import Cast, make_cast

pytestmark = pytest.mark.django_db


def at(key: str) -> QuotaNode:
    return QuotaNode.objects.get(key=key)


def limit(node: QuotaNode, resource: str = "cpu") -> int | None:
    return QuotaLimit.objects.get(node=node, resource=resource).limit


def soon() -> Any:
    return timezone.now() + timedelta(hours=1)


def pass_until(*rows: AllocationRequest) -> None:
    """Let the time for which something was given have passed."""
    AllocationRequest.objects.filter(pk__in=[row.pk for row in rows]).update(
        until=timezone.now() - timedelta(seconds=1)
    )


@pytest.fixture
def tree(cast: Cast) -> Cast:
    quota_node(cast.alice, cast.team)
    quota_node(cast.mia, cast.team)
    return cast


@pytest.fixture
def team(tree: Cast) -> QuotaNode:
    return at(f"team:{tree.team.pk}")


@pytest.fixture
def alices(tree: Cast) -> QuotaNode:
    """alice's place in vision: 16 CPUs of the team's 64."""
    return at(f"team:{tree.team.pk}/user:{tree.alice.pk}")


def ask(node: QuotaNode, by: Any, amount: int = 32_000, **more: Any) -> AllocationRequest:
    return quotas.request_allocation(node, more.pop("resource", "cpu"), amount, by=by, reason="a deadline", **more)


# -- asking


def test_a_request_changes_nothing_but_is_on_record(tree: Cast, alices: QuotaNode) -> None:
    made = ask(alices, tree.alice)
    assert (made.state, made.before, made.amount, made.given) == (RequestState.OPEN, 16_000, 32_000, None)
    assert limit(alices) == 16_000
    event = AuditEvent.objects.get(action="request_allocation")
    assert (event.actor_label, event.reason, event.data["after"]) == ("alice", "a deadline", 32_000)


@pytest.mark.parametrize("name", ["charlie", "olaf", "dana"])
def test_who_does_not_see_the_place_asks_for_nothing(tree: Cast, team: QuotaNode, name: str) -> None:
    with pytest.raises(NotFound):
        ask(team, tree.again(name), 100_000)
    assert not AllocationRequest.objects.exists()


@pytest.mark.parametrize("name", ["bob", "aud"])
def test_who_only_looks_asks_for_nothing(tree: Cast, team: QuotaNode, name: str) -> None:
    with pytest.raises(NotAllowed):
        ask(team, tree.again(name), 100_000)
    assert not AllocationRequest.objects.exists()


def test_nobody_but_himself_and_his_maintainers_asks_for_a_person(tree: Cast, alices: QuotaNode) -> None:
    with pytest.raises(NotFound):
        ask(alices, tree.again("bob"))
    assert ask(alices, tree.again("mia")).asked_by == tree.mia


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"amount": 16_000}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": (1 << 53) + 1}, "amount"),
        ({"until": timezone.now() - timedelta(days=1)}, "until"),
        ({"resource": "licenses"}, "resource"),
    ],
)
def test_what_makes_no_sense_is_refused(tree: Cast, alices: QuotaNode, facts: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        ask(alices, tree.alice, **facts)
    assert list(refusal.value.errors) == [field]
    assert not AllocationRequest.objects.exists()


def test_it_needs_a_reason(tree: Cast, alices: QuotaNode) -> None:
    with pytest.raises(Invalid):
        quotas.request_allocation(alices, "cpu", 32_000, by=tree.alice, reason=" ")


def test_the_same_is_asked_for_once_at_a_time(tree: Cast, alices: QuotaNode) -> None:
    first = ask(alices, tree.alice)
    with pytest.raises(Conflict):
        ask(alices, tree.again("mia"), 20_000)
    quotas.withdraw_allocation(first, by=tree.alice)
    ask(alices, tree.again("mia"), 20_000)


def test_nobody_floods_those_who_decide(tree: Cast, alices: QuotaNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_OPEN", 1)
    ask(alices, tree.alice)
    with pytest.raises(Conflict):
        ask(alices, tree.alice, 16_000, resource="gpu")


# -- the answer


def test_a_maintainer_gives_what_his_team_has(tree: Cast, alices: QuotaNode) -> None:
    made = quotas.approve_allocation(ask(alices, tree.alice), by=tree.again("mia"), note="fine")
    assert (made.state, made.given, made.decided_by, made.note) == (RequestState.APPROVED, 32_000, tree.mia, "fine")
    assert limit(alices) == 32_000
    actions = AuditEvent.objects.filter(actor_label="mia").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["set_limit", "approve_allocation"]
    assert AuditEvent.objects.get(action="set_limit").reason == "asked for by alice: a deadline"


def test_a_maintainer_gives_no_more_than_his_team_has(tree: Cast, alices: QuotaNode) -> None:
    made = ask(alices, tree.alice, 65_000)
    with pytest.raises(Invalid) as refusal:
        quotas.approve_allocation(made, by=tree.again("mia"))
    assert refusal.value.errors == {"limit": ["At most what team Vision has itself: 64 CPUs."]}
    assert limit(alices) == 16_000
    made.refresh_from_db()
    assert made.state == RequestState.OPEN
    quotas.approve_allocation(made, by=tree.again("mia"), amount=64_000)
    assert limit(alices) == 64_000


def test_what_may_be_borrowed_counts_as_given(tree: Cast, alices: QuotaNode) -> None:
    quotas.set_limit(alices, "cpu", 16_000, by=SYSTEM, borrow=40_000)
    with pytest.raises(Invalid):
        quotas.set_limit(alices, "cpu", 32_000, by=tree.again("mia"))
    assert limit(alices) == 16_000


def test_for_a_team_only_an_admin_answers(tree: Cast, team: QuotaNode) -> None:
    made = ask(team, tree.alice, 100_000)
    for name, error in (("mia", NotAllowed), ("bob", NotAllowed), ("aud", NotAllowed), ("charlie", NotFound)):
        with pytest.raises(error):
            quotas.approve_allocation(made, by=tree.again(name))
        with pytest.raises(error):
            quotas.refuse_allocation(made, by=tree.again(name))
    assert limit(team) == 64_000
    quotas.approve_allocation(made, by=tree.sre)
    assert limit(team) == 100_000


def test_nobody_gives_himself_more(tree: Cast, alices: QuotaNode) -> None:
    own = ask(at(f"team:{tree.team.pk}/user:{tree.mia.pk}"), tree.mia)
    with pytest.raises(Conflict):
        quotas.approve_allocation(own, by=tree.again("mia"))
    by_admin = ask(alices, tree.sre)
    with pytest.raises(Conflict):
        quotas.approve_allocation(by_admin, by=tree.sre)
    assert (limit(own.node), limit(alices)) == (16_000, 16_000)


def test_a_refusal_says_why(tree: Cast, alices: QuotaNode) -> None:
    made = quotas.refuse_allocation(ask(alices, tree.alice), by=tree.again("mia"), note="not this month")
    assert (made.state, made.note) == (RequestState.REFUSED, "not this month")
    assert limit(alices) == 16_000
    with pytest.raises(Conflict):
        quotas.approve_allocation(made, by=tree.again("mia"))
    assert limit(alices) == 16_000


@pytest.mark.parametrize("name", ["mia", "sre"])
def test_only_who_asked_takes_it_back(tree: Cast, alices: QuotaNode, name: str) -> None:
    made = ask(alices, tree.alice)
    with pytest.raises(NotAllowed):
        quotas.withdraw_allocation(made, by=tree.again(name))
    made.refresh_from_db()
    assert made.state == RequestState.OPEN
    assert quotas.withdraw_allocation(made, by=tree.alice).state == RequestState.WITHDRAWN
    with pytest.raises(Conflict):
        quotas.withdraw_allocation(made, by=tree.alice)


def test_an_approval_never_takes_away(tree: Cast, alices: QuotaNode) -> None:
    """The limit was raised beyond what was asked for while the request lay there."""
    made = ask(alices, tree.alice)
    quotas.set_limit(alices, "cpu", 48_000, by=SYSTEM)
    with pytest.raises(Invalid):
        quotas.approve_allocation(made, by=tree.again("mia"))
    with pytest.raises(Invalid):
        quotas.approve_allocation(made, by=tree.again("mia"), amount=0)
    assert limit(alices) == 48_000
    quotas.set_limit(alices, "cpu", None, by=SYSTEM)
    with pytest.raises(Conflict):
        quotas.approve_allocation(made, by=tree.sre)
    assert limit(alices) is None


# -- the end


def test_what_was_given_for_a_time_is_taken_back(tree: Cast, alices: QuotaNode) -> None:
    made = quotas.approve_allocation(ask(alices, tree.alice, until=soon()), by=tree.again("mia"))
    assert quotas.expire_allocations() == 0
    pass_until(made)
    assert quotas.expire_allocations() == 1
    made.refresh_from_db()
    assert (made.state, limit(alices)) == (RequestState.EXPIRED, 16_000)
    assert quotas.expire_allocations() == 0
    assert AuditEvent.objects.filter(action="expire_allocation").count() == 1


def test_who_decides_may_give_it_for_a_time(tree: Cast, alices: QuotaNode) -> None:
    made = quotas.approve_allocation(ask(alices, tree.alice), by=tree.again("mia"), until=soon())
    pass_until(made)
    quotas.expire_allocations()
    assert limit(alices) == 16_000
    late = ask(alices, tree.alice)
    with pytest.raises(Invalid):
        quotas.approve_allocation(late, by=tree.again("mia"), until=timezone.now() - timedelta(hours=1))
    assert limit(alices) == 16_000


@pytest.mark.parametrize(("now", "left"), [(40_000, 24_000), (32_000, 16_000), (20_000, 20_000), (None, None)])
def test_what_was_changed_since_stays_changed(tree: Cast, alices: QuotaNode, now: int | None, left: int | None) -> None:
    made = quotas.approve_allocation(ask(alices, tree.alice, until=soon()), by=tree.again("mia"))
    quotas.set_limit(alices, "cpu", now, by=SYSTEM)
    pass_until(made)
    quotas.expire_allocations()
    assert limit(alices) == left


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_that_came_on_top_of_each_other_end_where_it_began(
    tree: Cast, alices: QuotaNode, order: tuple[int, int]
) -> None:
    mia = tree.again("mia")
    made = [
        quotas.approve_allocation(ask(alices, tree.alice, amount, until=soon()), by=mia) for amount in (32_000, 48_000)
    ]
    assert limit(alices) == 48_000
    AllocationRequest.objects.filter(pk=made[0].pk).update(decided_at=timezone.now() - timedelta(hours=2))
    AllocationRequest.objects.filter(pk=made[1].pk).update(decided_at=timezone.now() - timedelta(hours=1))
    for number in order:
        pass_until(made[number])
        assert quotas.expire_allocations() == 1
    assert limit(alices) == 16_000


# -- races


def test_of_many_answers_one_counts(committed: None) -> None:
    cast, node, made = _in_the_open()

    def answer(number: int) -> str:
        by = cast.again("mia" if number % 2 else "sre")
        decide = quotas.approve_allocation if number < 3 else quotas.refuse_allocation
        return decide(AllocationRequest.objects.get(pk=made.pk), by=by).state

    results = in_threads(6, answer)
    won = [result for result in results if isinstance(result, str)]
    assert len(won) == 1, results
    assert all(isinstance(result, Conflict) for result in results if result not in won)
    assert limit(node) == (32_000 if won == [RequestState.APPROVED] else 16_000)


def test_without_the_lock_several_answers_count(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control run."""
    cast, _, made = _in_the_open()
    monkeypatch.setattr(requests, "lock_row", lambda rows: rows.get())
    monkeypatch.setattr(requests, "_set", lambda *_args, **_kw: connection.cursor().execute("SELECT pg_sleep(0.3)"))

    def answer(_number: int) -> str:
        return quotas.approve_allocation(AllocationRequest.objects.get(pk=made.pk), by=cast.again("mia")).state

    assert in_threads(4, answer).count(RequestState.APPROVED) > 1


def test_the_same_wish_at_the_same_moment_is_one_request(committed: None) -> None:
    cast, node, made = _in_the_open()
    quotas.withdraw_allocation(made, by=cast.alice)
    results = in_threads(4, lambda _number: ask(node, cast.again("alice")).state)
    assert sum(isinstance(result, str) for result in results) == 1
    assert all(isinstance(result, (str, Conflict)) for result in results), results
    assert AllocationRequest.objects.filter(state=RequestState.OPEN).count() == 1


def test_what_has_ended_is_taken_back_once(committed: None) -> None:
    cast, node, made = _in_the_open()
    quotas.approve_allocation(made, by=cast.again("mia"), until=soon())
    pass_until(made)
    assert sum(in_threads(4, lambda _number: quotas.expire_allocations())) == 1
    assert limit(node) == 16_000


def _in_the_open() -> tuple[Cast, QuotaNode, AllocationRequest]:
    cast = make_cast()
    quota_node(cast.alice, cast.team)
    node = at(f"team:{cast.team.pk}/user:{cast.alice.pk}")
    return cast, node, ask(node, cast.alice)
