"""The front door of money: prices, budgets, what is held and charged, and every correction.

Admission and compute use five of these:

- `hold(asks)` in the transaction that admits, after its limit rows are locked: a `Hold` or a `Short` for each ask.
- `estimate(…)` for the form and for "why does it wait": locks nothing.
- `settle(key, billable_ms)` and `renew(key, billable_ms)` while it runs; `charge(ticks)` does it for many at once.
- `close(key, billable_ms)` in the transaction of its end, after `quotas.release`.

`billable_ms` is the whole time that it has run, by the backend's evidence, and never a difference. An unknown key is
something that costs nothing.
"""

from apps.budgets.services.alerts import deliver_alerts, forecast, raise_alerts, signature, signing_key
from apps.budgets.services.asking import Ask, Estimate, Short
from apps.budgets.services.books import drift
from apps.budgets.services.charging import Outcome, Tick, charge, close, renew, settle, told
from apps.budgets.services.corrections import reverse
from apps.budgets.services.holding import estimate, hold
from apps.budgets.services.plans import allot, change_budget, create_budget, end_budget, reveal_signing_key
from apps.budgets.services.prices import require_keeper, set_price, set_price_of
from apps.budgets.services.rolling import roll_periods

__all__ = [
    "Ask",
    "Estimate",
    "Outcome",
    "Short",
    "Tick",
    "allot",
    "change_budget",
    "charge",
    "close",
    "create_budget",
    "deliver_alerts",
    "drift",
    "end_budget",
    "estimate",
    "forecast",
    "hold",
    "raise_alerts",
    "renew",
    "require_keeper",
    "reveal_signing_key",
    "reverse",
    "roll_periods",
    "set_price",
    "set_price_of",
    "settle",
    "signature",
    "signing_key",
    "told",
]
