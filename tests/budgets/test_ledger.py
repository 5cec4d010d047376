"""What the database itself refuses, and how a mistake is corrected."""

from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Budget, LedgerTx, Period
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.core.ids import new_id
from tests.budgets.money import HOUR, Tree, assert_books_balance, cost_of, hold_one, numbers, period_of
from tests.people import Cast


@pytest.fixture
def charged(tree: Tree) -> Budget:
    budget = tree.budget(tree.team, 10 * MICROS)
    held = hold_one(tree.ask(key="k"))
    services.settle(held.key, HOUR // 2)
    return budget


def run(sql: str, *given: Any) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, given)
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("table", ["budgets_ledgerentry", "budgets_ledgertx", "budgets_price"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_what_is_written_stays(table: str, change: str, charged: Budget) -> None:
    with pytest.raises(DatabaseError, match=r"append-only|pending trigger events"):
        run(change.format(table))
    run(f"SELECT 1 FROM {table}")
    with pytest.raises(DatabaseError, match="append-only"):
        run(change.format(table))
    assert LedgerTx.objects.exists()


INSERT = "INSERT INTO budgets_ledgerentry (tx_id, account, amount_micros) VALUES (%s, 'cost', %s)"


def test_a_posting_that_does_not_add_up_is_refused(charged: Budget) -> None:
    pk = new_id()
    run("INSERT INTO budgets_ledgertx (id, kind, idem) VALUES (%s, 'charge', 'x')", pk)
    run(f"{INSERT}, (%s, 'income', -5)", pk, 5, pk)
    with pytest.raises(DatabaseError, match="out of balance by 1"):
        run(INSERT, pk, 1)
    other = LedgerTx.objects.filter(kind="charge").exclude(pk=pk).get()
    with pytest.raises(DatabaseError, match="out of balance"):  # nor can an old one be added to
        run(INSERT, other.pk, 1)
    with pytest.raises(DatabaseError, match="out of balance"):
        run(f"{INSERT}, (%s, 'income', -4)", pk, 5, pk)


def test_the_same_posting_twice_is_refused(charged: Budget) -> None:
    with pytest.raises(DatabaseError, match="unique"):
        run("INSERT INTO budgets_ledgertx (id, kind, idem) VALUES (%s, 'charge', 'charge:k:1')", new_id())


def test_the_database_keeps_a_reserve_budget_within_its_ceiling(charged: Budget) -> None:
    for column in ("held_micros", "spent_micros"):
        with pytest.raises(DatabaseError, match="period_within_its_ceiling"):
            run(f"UPDATE budgets_period SET {column} = 10000001 WHERE id = %s", period_of(charged).pk)


def test_drift_is_seen(charged: Budget) -> None:
    assert services.drift() == []
    Period.objects.filter(budget=charged).update(spent_micros=500_001)
    (line,) = services.drift()
    assert "spent 500001/500000" in line


def charge_tx() -> LedgerTx:
    return LedgerTx.objects.get(kind="charge")


def test_a_charge_is_reversed_once_and_not_charged_again(charged: Budget, tree: Tree, cast: Cast) -> None:
    made = services.reverse(charge_tx(), by=cast.sre, reason="the node was broken")
    assert numbers(charged) == (MICROS // 2, 0)
    assert cost_of(tree.users[0]) == 0
    assert (made.reverses, made.reason, made.by) == (charge_tx(), "the node was broken", "sre")
    with pytest.raises(Conflict, match="already"):
        services.reverse(charge_tx(), by=cast.sre, reason="again")
    with pytest.raises(Conflict, match="Only a charge"):
        services.reverse(made, by=cast.sre, reason="the reversal")
    services.close("k", HOUR)
    assert numbers(charged) == (0, MICROS // 2)
    event = AuditEvent.objects.filter(action="reverse").latest("pk")
    assert (event.reason, event.actor_label) == ("the node was broken", "sre")
    assert_books_balance()


@pytest.mark.parametrize("name", ["alice", "mia", "olaf", "charlie", "aud"])
def test_only_an_admin_reverses(name: str, charged: Budget, cast: Cast) -> None:
    with pytest.raises((NotAllowed, NotFound)):
        services.reverse(charge_tx(), by=cast.again(name), reason="please")
    assert numbers(charged) == (MICROS // 2, MICROS // 2)
    assert not LedgerTx.objects.filter(kind="reversal").exists()


def test_a_reason_is_needed(charged: Budget, tree: Tree, cast: Cast) -> None:
    with pytest.raises(Invalid, match="Say why"):
        services.reverse(charge_tx(), by=cast.sre, reason=" ")
    with pytest.raises(Invalid, match="Say why"):
        services.change_budget(charged, amount_micros=1, by=cast.sre, reason="")
    with pytest.raises(Invalid, match="Say why"):
        services.end_budget(charged, by=cast.sre, reason="")


@pytest.mark.parametrize("name", ["alice", "mia", "aud", "charlie"])
def test_only_an_admin_sets_prices_and_budgets(name: str, charged: Budget, tree: Tree, cast: Cast) -> None:
    by, events = cast.again(name), AuditEvent.objects.count()
    writes = (
        lambda: services.set_price(tree.cluster, "cpu", 1, by=by),
        lambda: services.create_budget(tree.team, cadence="year", policy_name="observe", amount_micros=1, by=by),
        lambda: services.change_budget(charged, amount_micros=1, by=by, reason="x"),
        lambda: services.end_budget(charged, by=by, reason="x"),
    )
    for write in writes:
        with pytest.raises((NotAllowed, NotFound)):
            write()
    assert AuditEvent.objects.count() == events
    assert Budget.objects.get().amount_micros == 10 * MICROS


def test_what_makes_no_sense_is_refused(tree: Tree) -> None:
    budget = {"cadence": "month", "policy_name": "reserve", "amount_micros": 1, "by": SYSTEM}
    for change in (
        {"cadence": "week"}, {"policy_name": "hope"}, {"amount_micros": -1}, {"amount_micros": 1 << 60},
        {"cadence": "fixed"}, {"webhook_url": "ftp://x"}, {"webhook_url": "http://a:b@c/"}, {"webhook_url": "http://x:99999/"},
    ):  # fmt: skip
        with pytest.raises(Invalid):
            services.create_budget(tree.team, **{**budget, **change})
    services.create_budget(tree.team, **budget)  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="already"):
        services.create_budget(tree.team, **budget)  # type: ignore[arg-type]
    for price in ({"resource": "sun"}, {"micros_per_hour": -1}, {"cluster_id": new_id()}):
        with pytest.raises(Invalid):
            services.set_price(
                **{"cluster_id": tree.cluster, "resource": "cpu", "micros_per_hour": 1, "by": SYSTEM, **price}
            )  # type: ignore[arg-type]


def test_every_change_is_in_the_trail(charged: Budget, tree: Tree, cast: Cast) -> None:
    services.change_budget(charged, amount_micros=3 * MICROS, by=cast.sre, reason="cut")
    tree.price("gpu", 5)
    found = {event.action for event in AuditEvent.objects.filter(object_type__startswith="budgets.")}
    assert found >= {"create", "change", "set_price", "row.update", "row.insert"}
