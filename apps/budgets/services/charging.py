"""Money while it runs and when it ends.

What is due is cumulative: `floor(rate x billable time)`, less what was posted before. So ticks may be late, repeated or
missing, and a clock may step back: nothing is charged twice, nothing is given back, and the sum is rounded once.

A charge never exceeds what is held for that very attempt, on every `reserve` budget of its path. Where that is too little
(it ran longer than it could, a worker was away for an hour) more is held first, if the budget has it; what no budget has is
borne by the platform and written down as that.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.budgets.choices import Account, TxKind, carried_ms, due_micros, worst_micros
from apps.budgets.models import Hold, HoldPart
from apps.budgets.services import books
from apps.budgets.services.asking import Short, too_little
from apps.budgets.services.books import Line, Locked, Postings
from apps.budgets.services.holding import on_path
from apps.core.locks import lock_rows


@dataclass(frozen=True, slots=True)
class Tick:
    """How long an attempt has run, by its backend's evidence; whether its lease is to be renewed, or it has ended."""

    key: str
    billable_ms: int
    renews: bool = False
    is_final: bool = False
    cpu_ms: int | None = None  # of one CPU, used so far; None: nobody knows


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a tick. `carried_ms` is the running time that the money held reaches; None: no budget limits it.

    `short` is set when a lease could not be renewed, when money for what has run already is missing, or when a budget
    that accrues is spent.
    """

    carried_ms: int | None
    short: Short | None


def settle(key: str, billable_ms: int) -> None:
    """Charge what is due after `billable_ms` in all. Nothing for an unknown key, or one that is closed."""
    charge([Tick(key, billable_ms)])


def renew(key: str, billable_ms: int) -> bool | Short:
    """Charge, and hold for the next lease of open-ended work. Short when the money is out: the caller stops the work.

    What is held already stays: it carries the work until it has ended.
    """
    outcome = charge([Tick(key, billable_ms, renews=True)]).get(key)
    return True if outcome is None or outcome.short is None else outcome.short


def close(key: str, billable_ms: int, *, cpu_ms: int | None = None) -> None:
    """Charge for the last time and return the rest. Idempotent. Runs in the transaction of the end.

    `cpu_ms` is what it used of its CPUs, for who wants to know what lay idle; nothing is charged by it.
    """
    charge([Tick(key, billable_ms, is_final=True, cpu_ms=cpu_ms)])


def charge(ticks: Sequence[Tick]) -> dict[str, Outcome]:
    """Do all this for many at once: six queries, however many they are. Returns what became of those that were open.

    In the caller's transaction if he has one: it stands or falls with it.
    """
    if connection.in_atomic_block:
        return _charge(ticks)
    with transaction.atomic():
        return _charge(ticks)


def _charge(ticks: Sequence[Tick]) -> dict[str, Outcome]:
    asked = {tick.key: tick for tick in ticks}
    # LOCKING: holds by id, then periods by id. Nobody adds a part to a hold without the hold's lock.
    rows = lock_rows(Hold.objects.open().filter(key__in=asked))
    if not rows:
        return {}
    account = _Account.read(rows, {row.pk for row in rows if asked[row.key].renews})
    outcomes = {row.key: account.charge(row, asked[row.key]) for row in rows}
    account.postings.write(account.periods.values())
    return outcomes


@dataclass(slots=True)
class _Part:
    """A hold's share in one period."""

    hold_id: Any
    period: Locked
    held: int = 0
    spent: int = 0
    is_changed: bool = False

    def move(self, *, held: int = 0, spent: int = 0) -> list[Line]:
        """Move money; return the entries. What is spent and was not held comes out of what is available."""
        self.held += held
        self.spent += spent
        self.period.move(held=held, spent=spent)
        self.is_changed = True
        number = self.period.id
        return [
            Line(Account.HELD, held, number),
            Line(Account.SPENT, spent, number),
            Line(Account.AVAILABLE, -held - spent, number),
        ]


@dataclass
class _Account:
    """The holds of a batch, their parts and periods, all locked."""

    periods: dict[int, Locked]
    parts: dict[Any, list[_Part]]
    in_force: list[Locked]
    postings: Postings = field(default_factory=Postings)

    @classmethod
    def read(cls, rows: Sequence[Hold], renewed: Collection[Any]) -> "_Account":
        """Lock the periods of the holds and, for those that are renewed, the ones in force on their paths."""
        found = list(HoldPart.objects.filter(hold__in=rows).order_by("period_id"))
        nodes = {pk for row in rows if row.pk in renewed and row.worst_ms is None for pk in row.node_ids}
        known = books.look(nodes, []) if nodes else None
        plans = known.plans if known else []
        numbers = {part.period_id for part in found}
        locked = books.lock(periods=numbers, plans=plans, now=known.now if plans and known else None)
        periods = {period.id: period for period in locked}
        parts: dict[Any, list[_Part]] = {row.pk: [] for row in rows}
        for part in found:
            parts[part.hold_id].append(
                _Part(part.hold_id, periods[part.period_id], part.held_micros, part.spent_micros)
            )
        live = {plan.id for plan in plans}
        return cls(periods, parts, [period for period in locked if period.budget_id in live])

    def charge(self, row: Hold, tick: Tick) -> Outcome:
        rate = row.rate_micros_per_hour
        due = due_micros(rate, tick.billable_ms)
        short = None
        if tick.renews and row.worst_ms is None:
            self._move_on(row)
            lease = int(settings.BUDGET_LEASE_SECONDS) * 1000
            short = self._hold_more(row, worst_micros(rate, tick.billable_ms + lease) - row.posted_micros)
        owed = max(0, due - row.posted_micros)
        self._catch_up(row, owed)
        paid = min([owed, *(self._held(mine) for mine in self._reserved(row).values())])
        self._pay(row, paid, tick.billable_ms)
        if paid < owed and not short:
            short = self._missing(row, owed - paid)
        if tick.is_final:
            self._end(row, max(0, due - row.posted_micros), tick.billable_ms)
        self._note(row, tick)
        return Outcome(self._carried(row), short or self._spent(row))

    def _move_on(self, row: Hold) -> None:
        """Give the hold a part in each period that is in force now: what is held from here on is held there."""
        mine = self.parts[row.pk]
        there = {part.period.id for part in mine}
        for period in on_path(self.in_force, row.node_ids):
            if period.id not in there and not period.is_over:
                mine.append(_Part(row.pk, period, is_changed=True))
        mine.sort(key=lambda part: (part.period.starts_at, part.period.id))

    def _budgets(self, row: Hold) -> dict[int, list[_Part]]:
        """Return the parts by budget, each list from the oldest period."""
        found: dict[int, list[_Part]] = {}
        for part in self.parts[row.pk]:
            found.setdefault(part.period.budget_id, []).append(part)
        return found

    def _reserved(self, row: Hold) -> dict[int, list[_Part]]:
        return {pk: mine for pk, mine in self._budgets(row).items() if mine[-1].period.reserves}

    @staticmethod
    def _held(parts: Iterable[_Part]) -> int:
        return sum(part.held for part in parts)

    def _hold_more(self, row: Hold, target: int) -> Short | None:
        """Raise what each budget holds to `target`: on all of them, or on none. A spent one that accrues says no, too."""
        wanted = [(mine[-1], target - self._held(mine)) for mine in self._reserved(row).values()]
        for part, missing in wanted:
            if missing > 0 and (part.period.is_over or missing > part.period.available):
                return too_little(part.period, missing, "to go on it needs")
        self._post_hold(row, [(part, missing) for part, missing in wanted if missing > 0])
        return None

    def _catch_up(self, row: Hold, owed: int) -> None:
        """Hold what is due already and was not held, as far as each budget has it and all of them do."""
        wanted = [(mine[-1], owed - self._held(mine)) for mine in self._reserved(row).values()]
        lacking = max([0, *(missing - part.period.available for part, missing in wanted)])
        self._post_hold(row, [(part, missing - lacking) for part, missing in wanted if missing > lacking])

    def _post_hold(self, row: Hold, wanted: list[tuple[_Part, int]]) -> None:
        if not wanted:
            return
        lines = [line for part, amount in wanted for line in part.move(held=amount)]
        self.postings.post(TxKind.HOLD, self._next(row, "hold"), lines, hold=row.pk)

    def _pay(self, row: Hold, paid: int, billable_ms: int) -> None:
        if not paid:
            return
        lines = [
            Line(Account.COST, paid, node_id=row.node_id),
            Line(Account.INCOME, -paid, cluster_id=row.cluster_id),
        ]
        for mine in self._budgets(row).values():
            left = paid
            for part in mine:
                taken = min(left, part.held)
                left -= taken
                lines += part.move(held=-taken, spent=taken) if taken else []
            lines += mine[-1].move(spent=left) if left else []
        new = max(0, billable_ms - row.billable_ms)
        self.postings.post(TxKind.CHARGE, self._next(row, "charge"), lines, hold=row.pk, billable_ms=new)
        row.posted_micros += paid
        row.billable_ms += new

    def _end(self, row: Hold, unpaid: int, billable_ms: int) -> None:
        if unpaid:
            new = max(0, billable_ms - row.billable_ms)
            lines = [Line(Account.ABSORBED, unpaid), Line(Account.INCOME, -unpaid, cluster_id=row.cluster_id)]
            self.postings.post(TxKind.ABSORB, self._next(row, "absorb"), lines, hold=row.pk, billable_ms=new)
            row.absorbed_micros += unpaid
            row.billable_ms += new
        rest = [line for part in self.parts[row.pk] if part.held for line in part.move(held=-part.held)]
        self.postings.post(TxKind.RETURN, self._next(row, "return") if rest else "", rest, hold=row.pk)

    def _note(self, row: Hold, tick: Tick) -> None:
        self.postings.moved.append(
            {
                "id": row.pk, "seq": row.seq, "billable_ms": row.billable_ms, "posted_micros": row.posted_micros,
                "absorbed_micros": row.absorbed_micros, "is_closed": tick.is_final, "cpu_ms": tick.cpu_ms,
            }
        )  # fmt: skip
        self.postings.parts += [
            {"hold_id": part.hold_id, "period_id": part.period.id, "held_micros": part.held, "spent_micros": part.spent}
            for part in self.parts[row.pk]
            if part.is_changed
        ]

    def _carried(self, row: Hold) -> int | None:
        reserved = self._reserved(row)
        if not reserved:
            return None
        return carried_ms(row.rate_micros_per_hour, row.posted_micros + min(map(self._held, reserved.values())))

    def _missing(self, row: Hold, unpaid: int) -> Short | None:
        """Name the budget that has the least for it."""
        reserved = self._reserved(row)
        least = min(reserved.values(), key=self._held)
        return too_little(least[-1].period, unpaid, "what has run costs more than was held, by")

    def _spent(self, row: Hold) -> Short | None:
        for mine in self._budgets(row).values():
            if mine[-1].period.is_spent:
                return too_little(mine[-1].period, 0)
        return None

    @staticmethod
    def _next(row: Hold, word: str) -> str:
        name = f"{word}:{row.key}:{row.seq}"
        row.seq += 1
        return name


def told(short: Short) -> str:
    """Say why money stops what runs."""
    return f"out of money: {short.message}" if short.need_micros else f"the budget is spent: {short.message}"
