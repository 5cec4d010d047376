"""Reserving and giving back along the quota tree."""

import uuid
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NeverFits, NotAllowed, NotFound
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import QuotaLimit, QuotaNode, Reservation, Resource
from apps.quotas.services import Full
from tests.factories import assert_books_balance
from tests.people import Cast

pytestmark = pytest.mark.django_db


def leaf(limits: dict[str, int] | None = None, parent: QuotaNode | None = None) -> QuotaNode:
    key = f"user:{uuid.uuid4()}"
    return quotas.ensure_node(NodeKind.USER, key, name="alice", parent=parent or root(), limits=limits or {})


def root() -> QuotaNode:
    return quotas.platform_node()


def used(node: QuotaNode, resource: str = "cpu") -> int:
    return QuotaLimit.objects.get(node=node, resource=resource).used


def reserve(key: str, node: QuotaNode, **amounts: int) -> Any:
    return quotas.reserve(key, node, [], amounts)


def test_a_reservation_counts_on_every_level() -> None:
    node, cluster = leaf(), quotas.ensure_node(NodeKind.CLUSTER, "cluster:1", name="c", limits={})
    held = quotas.reserve("a", node, [cluster.pk], {"cpu": 1500, "experiments": 1, "gpu": 0})
    assert isinstance(held, Reservation)
    assert [used(n) for n in (root(), node, cluster)] == [1500, 1500, 1500]
    assert held.amounts == {"cpu": 1500, "experiments": 1}
    assert_books_balance(live=1)


def test_release_gives_back_once() -> None:
    node = leaf()
    reserve("a", node, cpu=700)
    reserve("b", node, cpu=300)
    assert quotas.release("a") is True
    assert used(node) == 300
    assert quotas.release("a") is False
    assert quotas.release("never") is False
    assert used(node) == used(root()) == 300
    assert_books_balance(live=1)


def test_the_same_key_reserves_once() -> None:
    node = leaf()
    assert reserve("a", node, cpu=700) == reserve("a", node, cpu=700)
    assert used(node) == 700


def test_a_key_is_never_used_again() -> None:
    node = leaf()
    reserve("a", node, cpu=700)
    quotas.release("a")
    with pytest.raises(Conflict), transaction.atomic():
        reserve("a", node, cpu=700)
    assert used(node) == 0


def test_up_to_the_limit_and_not_one_more() -> None:
    node = leaf({"cpu": 1000})
    assert isinstance(reserve("a", node, cpu=600), Reservation)
    full = reserve("b", node, cpu=401)
    assert isinstance(full, Full)
    assert (full.resource, full.used, full.limit, full.need) == ("cpu", 600, 1000, 401)
    assert used(node) == used(root()) == 600
    assert isinstance(reserve("c", node, cpu=400), Reservation)


def test_the_message_of_a_full_node_has_the_numbers() -> None:
    node = leaf({"cpu": 4000, "memory": 3 << 30})
    reserve("a", node, cpu=3500, memory=2 << 30)
    assert reserve("b", node, cpu=1500).message == "waiting: user alice uses 3.5 of 4 CPUs, and this needs 1.5"
    memory = reserve("c", node, memory=2 << 30).message
    assert memory == "waiting: user alice uses 2 of 3 GiB of memory, and this needs 2"
    behind = reserve("d", node, cpu=1500).message_behind
    assert behind == "waiting behind earlier work: user alice may use 4 CPUs, and what comes first does not fit yet"


def test_the_highest_full_node_is_named() -> None:
    quotas.set_limit(root(), "cpu", 100, by=SYSTEM)
    full = reserve("a", leaf({"cpu": 50}), cpu=200)
    assert isinstance(full, Full)
    assert full.node == "the platform"


def test_nothing_is_held_of_what_does_not_fit_on_one_level() -> None:
    quotas.set_limit(root(), "cpu", 100, by=SYSTEM)
    node = leaf()
    assert isinstance(reserve("a", node, cpu=101), Full)
    assert used(node) == 0
    assert not Reservation.objects.exists()


def test_no_limit_means_that_only_use_is_counted() -> None:
    node = leaf()
    assert isinstance(reserve("a", node, cpu=1 << 50), Reservation)
    assert used(node) == 1 << 50


def test_a_limit_below_its_use_admits_no_more_and_stops_nothing() -> None:
    node = leaf({"cpu": 1000})
    reserve("a", node, cpu=1000)
    quotas.set_limit(node, "cpu", 200, by=SYSTEM)
    assert used(node) == 1000
    assert isinstance(reserve("b", node, cpu=1), Full)
    quotas.release("a")
    assert isinstance(reserve("b", node, cpu=200), Reservation)


def test_a_removed_limit_admits() -> None:
    node = leaf({"cpu": 0})
    assert isinstance(reserve("a", node, cpu=1), Full)
    quotas.set_limit(node, "cpu", None, by=SYSTEM)
    assert isinstance(reserve("a", node, cpu=1), Reservation)


def test_what_can_never_fit_is_refused_with_the_numbers() -> None:
    node = leaf({"memory": 4 << 30})
    with pytest.raises(NeverFits) as refusal:
        quotas.require_possible(node, "", {"memory": 5 << 30, "cpu": 1})
    assert refusal.value.detail == "user alice may use at most 4 GiB of memory; this needs 5."
    assert refusal.value.extra == {"resource": "memory", "limit": 4 << 30, "need": 5 << 30}
    quotas.require_possible(node, "", {"memory": 4 << 30})


def test_use_does_not_make_a_request_impossible() -> None:
    node = leaf({"cpu": 1000})
    reserve("a", node, cpu=1000)
    quotas.require_possible(node, "", {"cpu": 1000})


@pytest.mark.parametrize("delta", [5, -5])
def test_drift_is_found(delta: int) -> None:
    node = leaf()
    reserve("a", node, cpu=10)
    QuotaLimit.objects.filter(node=node, resource="cpu").update(used=10 + delta)
    assert quotas.drift() == [f"node {node.pk} cpu: {10 + delta}, live 10"]


def test_the_database_refuses_negative_use() -> None:
    node = leaf()
    with pytest.raises(IntegrityError), transaction.atomic():
        QuotaLimit.objects.filter(node=node).update(used=-1)


def test_a_node_is_made_once_with_the_defaults_of_its_kind(settings: Any) -> None:
    settings.QUOTA_DEFAULTS = {"user": {"cpu": 123}}
    first = quotas.ensure_node(NodeKind.USER, "user:1", name="x" * 400, parent=root())
    assert quotas.ensure_node(NodeKind.USER, "user:1", name="other") == first
    assert QuotaLimit.objects.get(node=first, resource="cpu").limit == 123
    assert first.path == [root().pk, first.pk]
    assert QuotaLimit.objects.filter(node=first).count() == len(Resource.objects.names())


def test_a_limit_is_set_by_an_admin_and_audited(cast: Cast) -> None:
    node = leaf()
    quotas.set_limit(node, "gpu", 2000, by=cast.sre, reason="asked for")
    event = AuditEvent.objects.get(action="set_limit")
    assert (event.actor_label, event.reason, event.data) == (
        "sre",
        "asked for",
        {"resource": "gpu", "before": None, "after": 2000},
    )


@pytest.mark.parametrize(("person", "error"), [("aud", NotAllowed), ("mia", NotFound), ("charlie", NotFound)])
def test_a_limit_is_not_set_by_others(cast: Cast, person: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        quotas.set_limit(root(), "gpu", 2000, by=cast.people[person])
    assert QuotaLimit.objects.get(node=root(), resource="gpu").limit is None
    assert not AuditEvent.objects.filter(action="set_limit").exists()


def test_the_limit_of_a_node_out_of_sight_is_not_found(cast: Cast) -> None:
    with pytest.raises(NotFound):
        quotas.set_limit(leaf({"cpu": 7}), "cpu", 2000, by=cast.charlie)


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(Invalid):
        quotas.set_limit(root(), "gpu", -1, by=SYSTEM)


def test_capacity_is_written_as_limits() -> None:
    node = quotas.ensure_node(NodeKind.CLUSTER, "cluster:1", name="c", limits={})
    quotas.set_capacity(node, {"cpu": 8000, "unknown": 1})
    assert QuotaLimit.objects.get(node=node, resource="cpu").limit == 8000


@pytest.mark.parametrize(
    ("resource", "amount", "text"),
    [("cpu", 1500, "1.5"), ("cpu", 10_000, "10"), ("memory", 1 << 29, "0.5"), ("experiments", 20, "20"), ("x", 7, "7")],
)
def test_amounts_are_written_as_people_do(resource: str, amount: int, text: str) -> None:
    assert in_units(resource, amount) == text


def test_an_unknown_resource_goes_by_its_name() -> None:
    assert words("tpu") == "tpu"
    assert str(QuotaLimit(node=QuotaNode(kind="team", name="V"), resource="tpu", limit=None, used=2)) == (
        "team V: 2 of any number of tpu"
    )
