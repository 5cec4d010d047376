"""Money as whole micro-units, the words of budgets, and the only arithmetic there is on money.

1,000,000 micros are one unit of the currency. There is no float and no Decimal in any sum.
"""

import re
from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.db.models import TextChoices

MICROS = 1_000_000
HOUR_MS = 3_600_000
LARGEST = 1 << 53  # of anything that a person writes
_CENT = 10_000
_WRITTEN = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?", re.ASCII)
# What a price is for: one CPU, one GPU, one GiB, one of whatever is counted; each for an hour.
_PRICED = {"cpu": 1000, "gpu": 1000, "memory": 1 << 30, "disk": 1 << 30}


class BudgetPolicy(TextChoices):
    OBSERVE = "observe", "Observe: tell, never stop"
    ACCRUE = "accrue", "Accrue: stop when it is spent"
    RESERVE = "reserve", "Reserve: hold the worst case before the start"


class Cadence(TextChoices):
    MONTH = "month", "Each month"
    QUARTER = "quarter", "Each quarter"
    YEAR = "year", "Each year"
    FIXED = "fixed", "Between two dates"


class Account(TextChoices):
    """Where an entry stands. The first five are a period's, the others a node's, a cluster's, the platform's."""

    FUNDING = "funding", "Funding"
    AVAILABLE = "available", "Available"
    HELD = "held", "Held"
    SPENT = "spent", "Spent"
    LAPSED = "lapsed", "Lapsed"
    COST = "cost", "Cost of a node"
    INCOME = "income", "Income of a cluster"
    ABSORBED = "absorbed", "Borne by the platform"


class TxKind(TextChoices):
    ALLOT = "allot", "A period begins"
    ADJUST = "adjust", "Its amount was changed"
    LAPSE = "lapse", "What a period left"
    HOLD = "hold", "Held"
    CHARGE = "charge", "Charged"
    RETURN = "return", "Returned"
    ABSORB = "absorb", "Borne by the platform"
    REVERSAL = "reversal", "Reversed"


class AlertLevel(TextChoices):
    HALF = "50", "Half is spent"
    MOST = "80", "80 % are spent"
    NEARLY = "95", "95 % are spent"
    ALL = "100", "All is spent"
    FORECAST = "forecast", "Will not last"


PERCENTS = (50, 80, 95, 100)


class Channel(TextChoices):
    EMAIL = "email", "E-mail"
    WEBHOOK = "webhook", "Webhook"


def per(resource: str) -> int:
    """Return how many base units a price is for: 1000 milli-CPU, 1 GiB, one experiment."""
    return _PRICED.get(resource, 1)


def rate_of(amounts: Mapping[str, int], prices: Mapping[str, int]) -> int:
    """Return micros per hour of `amounts`, each resource rounded down."""
    return sum(prices.get(resource, 0) * amount // per(resource) for resource, amount in amounts.items())


def due_micros(rate: int, billable_ms: int) -> int:
    """Return what is due after `billable_ms` in all: rounded down once, whatever the steps were."""
    return rate * max(0, billable_ms) // HOUR_MS


def worst_micros(rate: int, ms: int) -> int:
    """Return what has to be held so that nothing that is due within `ms` exceeds it."""
    return -(-rate * max(0, ms) // HOUR_MS)


def carried_ms(rate: int, micros: int) -> int | None:
    """Return for how long `micros` carry a rate; None for what costs nothing."""
    return None if rate <= 0 else micros * HOUR_MS // rate


def cents(micros: int) -> int:
    """Round to cents, half to even: only where a statement is shown."""
    whole, rest = divmod(micros, _CENT)
    half = _CENT // 2
    return whole + (rest > half or (rest == half and whole % 2 == 1))


def in_money(micros: int, *, exact: bool = False) -> str:
    """Write an amount as people do: "1,250.00"; with `exact`, all six digits that are not zero, at least two."""
    sign, size = ("-", -micros) if micros < 0 else ("", micros)
    if not exact:
        shown = cents(micros)
        sign, size = ("-", -shown) if shown < 0 else ("", shown)
        return f"{sign}{size // 100:,}.{size % 100:02d}"
    digits = f"{size % MICROS:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{size // MICROS:,}.{digits}"


def with_currency(micros: int) -> str:
    return f"{in_money(micros)} {settings.CURRENCY}".strip()


def parse_money(text: str) -> int:
    """Return micros of "50", "50.25" or "0.000001". Raises: ValueError with a sentence."""
    match = _WRITTEN.fullmatch(text.strip().replace(",", ""))
    if match is None:
        msg = f"{text!r} is not an amount of money. Write 50 or 50.25, at most six digits after the point."
        raise ValueError(msg)
    micros = int(match[1]) * MICROS + int((match[2] or "").ljust(6, "0"))
    if micros > LARGEST:
        msg = f"{text!r} is too large."
        raise ValueError(msg)
    return micros


def bounds(cadence: str, at: datetime) -> tuple[datetime, datetime]:
    """Return the calendar period around `at`, in the time zone of `at`: start, and end, which is not in it."""
    months = {Cadence.MONTH: 1, Cadence.QUARTER: 3, Cadence.YEAR: 12}[Cadence(cadence)]
    first = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = first.replace(month=(at.month - 1) // months * months + 1)
    later = start.month - 1 + months
    return start, start.replace(year=start.year + later // 12, month=later % 12 + 1)
