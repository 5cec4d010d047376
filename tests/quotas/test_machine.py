"""Any sequence of reserving, giving back, changing limits and moving nodes, against a reference of sixty lines.

FATHOM_LONG_TESTS makes it a hundred thousand steps (`make kill` runs it so).
"""

import os
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from apps.access.principal import SYSTEM
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode, Reservation
from apps.quotas.services import Ask, Full, Gone

STEPS = 50
EXAMPLES = 2000 if os.environ.get("FATHOM_LONG_TESTS") else 12
RESOURCES = ("cpu", "gpu", "licenses")
NAMES = ("root", "org", "lab", "red", "blue", "ana", "ben", "eve")
PARENTS = {"org": "root", "lab": "org", "red": "org", "blue": "org", "ana": "red", "ben": "red", "eve": "blue"}
LEAVES = ("ana", "ben", "eve")
KINDS = {"root": NodeKind.PLATFORM, "org": NodeKind.ORGANIZATION, "lab": NodeKind.GROUP}


class Reference:
    """What is to happen, on dictionaries."""

    def __init__(self) -> None:
        self.parents = dict(PARENTS)
        self.limits: dict[tuple[str, str], int] = {}
        self.borrow: dict[tuple[str, str], int] = {}
        self.held: dict[str, tuple[str, dict[str, int]]] = {}
        self.gone: set[str] = set()

    def path(self, name: str) -> list[str]:
        above = self.parents.get(name)
        return [*(self.path(above) if above else []), name]

    def used(self, name: str, resource: str) -> int:
        here = (need for leaf, need in self.held.values() if name in self.path(leaf))
        return sum(need.get(resource, 0) for need in here)

    def most(self, name: str, resource: str) -> int | None:
        limit = self.limits.get((name, resource))
        return None if limit is None else limit + self.borrow.get((name, resource), 0)

    def reserve(self, key: str, leaf: str, need: dict[str, int]) -> str:
        if key in self.gone:
            return "gone"
        if key in self.held:
            return "held"
        for name in self.path(leaf):
            for resource in sorted(need):
                most = self.most(name, resource)
                if need[resource] and most is not None and self.used(name, resource) + need[resource] > most:
                    return f"full {name} {resource}"
        self.held[key] = leaf, need
        return "held"

    def release(self, key: str) -> bool:
        if key not in self.held:
            return False
        del self.held[key]
        self.gone.add(key)
        return True


_NEED = st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 4), min_size=1)
_KEY = st.integers(0, 12).map("k{}".format)


class Machine(RuleBasedStateMachine):
    """The services and the reference, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.reference = Reference()
        self.nodes: dict[str, QuotaNode] = {}
        for name in NAMES:
            kind = KINDS.get(name, NodeKind.USER if name in LEAVES else NodeKind.TEAM)
            parent = self.nodes.get(PARENTS.get(name, ""))
            key = "platform" if name == "root" else f"{kind}:{name}"
            self.nodes[name] = quotas.ensure_node(kind, key, name=name, parent=parent, limits={})

    def node(self, name: str) -> QuotaNode:
        self.nodes[name].refresh_from_db()
        return self.nodes[name]

    @rule(
        asks=st.lists(st.tuples(_KEY, st.sampled_from(LEAVES), _NEED), min_size=1, max_size=5, unique_by=lambda a: a[0])
    )
    def reserve(self, asks: list[tuple[str, str, dict[str, int]]]) -> None:
        wanted = [Ask(key, self.node(leaf).pk, tuple(self.nodes[leaf].path), need) for key, leaf, need in asks]
        answers = quotas.reserve_all(wanted)
        assert [self.said(answer) for answer in answers] == [self.reference.reserve(*ask) for ask in asks]

    def said(self, answer: Any) -> str:
        if isinstance(answer, Full):
            name = next(name for name, node in self.nodes.items() if node.pk == answer.node_id)
            return f"full {name} {answer.resource}"
        return "gone" if isinstance(answer, Gone) else "held"

    @rule(key=_KEY)
    def release(self, key: str) -> None:
        assert quotas.release(key) is self.reference.release(key)

    @rule(
        name=st.sampled_from(NAMES),
        resource=st.sampled_from(RESOURCES),
        limit=st.none() | st.integers(0, 9),
        borrow=st.sampled_from([0, 0, 2]),
    )
    def change_limit(self, name: str, resource: str, limit: int | None, borrow: int) -> None:
        quotas.set_limit(self.node(name), resource, limit, by=SYSTEM, borrow=borrow)
        self.reference.borrow[name, resource] = borrow
        if limit is None:
            self.reference.limits.pop((name, resource), None)
        else:
            self.reference.limits[name, resource] = limit

    @precondition(lambda self: self.reference.held)
    @rule(name=st.sampled_from(["red", "blue"]), parent=st.sampled_from(["root", "org", "lab"]))
    def move(self, name: str, parent: str) -> None:
        quotas.move_node(self.node(name), self.node(parent), by=SYSTEM, reason="x")
        self.reference.parents[name] = parent

    @invariant()
    def all_that_is_used_is_what_is_held(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT node_id, resource, used FROM quotas_quotalimit WHERE used > 0")
            used = {(node, resource): amount for node, resource, amount in cursor.fetchall()}
        expected = {
            (node.pk, resource): amount
            for name, node in self.nodes.items()
            for resource in RESOURCES
            if (amount := self.reference.used(name, resource))
        }
        assert used == expected

    def teardown(self) -> None:
        try:
            if not connection.needs_rollback:
                assert quotas.drift() == []
                live = set(Reservation.objects.filter(released_at=None).values_list("key", flat=True))
                assert live == set(self.reference.held)
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)


@pytest.mark.timeout(7200)
@pytest.mark.django_db
def test_any_sequence_is_as_the_reference_says() -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=checks,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
    )
    run_state_machine_as_test(Machine, settings=chosen)
