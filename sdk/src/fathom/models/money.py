"""Money: whole micros, a million of which are one unit of the currency."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from fathom.models.fields import as_time, raw_json

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class BudgetPeriod:
    """One period of a budget, and what is held and spent in it."""

    starts_at: datetime | None
    ends_at: datetime | None
    amount_micros: int
    held_micros: int
    spent_micros: int
    available_micros: int

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        names = ("amount_micros", "held_micros", "spent_micros", "available_micros")
        return cls(
            as_time(data.get("starts_at")),
            as_time(data.get("ends_at")),
            **{name: int(data.get(name) or 0) for name in names},
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a place may spend in each period. `policy`: observe, accrue or reserve."""

    id: int
    node: str
    node_id: int
    cadence: str
    policy: str
    amount_micros: int
    currency: str
    ended_at: datetime | None
    period: BudgetPeriod | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        period = data.get("period")
        return cls(
            id=int(data.get("id") or 0),
            node_id=int(data.get("node_id") or 0),
            amount_micros=int(data.get("amount_micros") or 0),
            **{name: str(data.get(name) or "") for name in ("node", "cadence", "policy", "currency")},
            ended_at=as_time(data.get("ended_at")),
            period=BudgetPeriod.from_json(period) if period else None,
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What one CPU, GPU, GiB or counted thing costs for an hour, for what is admitted from `effective_from` on."""

    id: int
    cluster: str
    resource: str
    version: int
    micros_per_hour: int
    effective_from: datetime | None
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        return cls(
            id=int(data.get("id") or 0),
            version=int(data.get("version") or 0),
            micros_per_hour=int(data.get("micros_per_hour") or 0),
            **{name: str(data.get(name) or "") for name in ("cluster", "resource")},
            effective_from=as_time(data.get("effective_from")),
            raw=data,
        )


@dataclass(frozen=True, slots=True)
class Posting:
    """One posting of the ledger; the amounts of its entries add up to zero."""

    id: str
    kind: str
    at: datetime | None
    key: str
    subject: str
    by: str
    reason: str
    entries: list[Mapping[str, Any]]
    raw: Mapping[str, Any] = raw_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        words = ("id", "kind", "key", "subject", "by", "reason")
        return cls(
            **{name: str(data.get(name) or "") for name in words},
            at=as_time(data.get("at")),
            entries=list(data.get("entries") or []),
            raw=data,
        )

    @property
    def cost_micros(self) -> int:
        return sum(int(entry["amount_micros"]) for entry in self.entries if entry.get("account") == "cost")


def in_money(micros: int) -> str:
    """Write an amount in whole cents, half to even: "1,250.00"."""
    whole, rest = divmod(abs(micros), 10_000)
    shown = whole + (rest > 5_000 or (rest == 5_000 and whole % 2 == 1))  # noqa: PLR2004 -- half a cent
    return f"{'-' if micros < 0 and shown else ''}{shown // 100:,}.{shown % 100:02d}"


_WRITTEN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?", re.ASCII)


def to_micros(text: str) -> int:
    """Read "50" or "1250.25". Raises: ValueError."""
    found = _WRITTEN.fullmatch(text.strip().replace(",", ""))
    if found is None:
        msg = f"{text!r} is not an amount of money. Write 50 or 50.25, at most six digits after the point."
        raise ValueError(msg)
    return int(found[1]) * MICROS + int((found[2] or "").ljust(6, "0"))
