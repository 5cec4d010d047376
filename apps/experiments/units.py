"""Quantities and durations, parsed exactly: integers in base units, rounded up, never through a float."""

import math
import re
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

LARGEST = 1 << 53
_EXACT = Context(prec=100)  # more digits than a quantity may have, so that no product is rounded

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", re.ASCII)
_DURATION = re.compile(r"(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?", re.ASCII)
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)},
}


def quantity(value: str | float | int, *, unit: int) -> int:  # noqa: PYI041 -- a JSON number is either
    """Return `value` times `unit`, rounded up: ("500m", 1000) is 500, ("1.5Gi", 1) is 1610612736.

    Raises: ValueError for anything but digits with an optional point and suffix, or a number beyond 2**53.
    """
    match = _QUANTITY.fullmatch(repr(value) if isinstance(value, float) else str(value))
    if match is None:
        match = _QUANTITY.fullmatch(_plain(value))
    if match is None:
        msg = f"{value!r} is not a quantity; write 2, 0.5, 500m, 512Mi or 4Gi"
        raise ValueError(msg)
    exact = _EXACT.multiply(Decimal(match[1]), _FACTORS[match[2] or ""] * unit)
    amount = exact.to_integral_value(ROUND_CEILING)
    if amount > LARGEST:
        msg = f"{value!r} is too large"
        raise ValueError(msg)
    return int(amount)


def _plain(value: object) -> str:
    """Write a JSON number without an exponent; a string stays as it is and fails."""
    if isinstance(value, str):
        return value
    try:
        return f"{Decimal(repr(value)):f}"
    except InvalidOperation:
        return ""


def duration(value: str | float) -> int:
    """Return seconds: 90, 90.0, "90s", "1h30m", "2d". Raises: ValueError for anything else, zero, or more than a year."""
    if not isinstance(value, str):
        if not math.isfinite(value) or value != int(value):
            msg = f"{value!r} is not a whole number of seconds"
            raise ValueError(msg)
        seconds = int(value)
    else:
        match = _DURATION.fullmatch(value)
        if match is None or not value:
            msg = f"{value!r} is not a duration; write 45s, 30m or 1h30m"
            raise ValueError(msg)
        days, hours, minutes, rest = (int(part or 0) for part in match.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not 0 < seconds <= 365 * 24 * 3600:
        msg = f"{value!r} must be between one second and a year"
        raise ValueError(msg)
    return seconds
