"""Measures what holding and charging cost, with 0, 1 and 3 budgets on the path (docs/adr/0025).

Usage: python -m tools.measure_hold. Starts a PostgreSQL of its own, for about half a minute, and prints a table.
"""

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config.embedded.postgres import Postgres

_ROUNDS = 150


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="fathom-hold-") as folder:
        home = Path(folder)
        for name in ("run", "log"):
            (home / name).mkdir(mode=0o700)
        server = Postgres(home)
        server.prepare()
        process = server.start(on_parent_death=signal.SIGQUIT)
        server.wait(process)
        os.environ |= {
            "DATABASE_URL": server.url,
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "FATHOM_HOME": folder,
        }
        try:
            _measure()
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def _measure() -> None:
    import django  # noqa: PLC0415 -- only now is it said with which settings

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 -- needs Django

    call_command("migrate", verbosity=0)
    from apps.budgets.services import Tick, charge, hold  # noqa: PLC0415 -- as above
    from tests.budgets.money import make_tree  # noqa: PLC0415 -- as above

    print("| on the path | hold, one | hold, batch of 50 | each of 50 | charge, one | charge, 50 | each of 50 |")
    print("|---|---|---|---|---|---|---|")
    for label, priced, budgets in (
        ("no price", False, 0),
        ("a price, no budget", True, 0),
        ("1 budget", True, 1),
        ("3 budgets", True, 3),
    ):
        tree = make_tree(label)
        if priced:
            tree.price()
        for node in (tree.team, tree.organization, tree.users[0])[:budgets]:
            tree.budget(node, 1 << 52, cadence="month" if node is not tree.organization else "year")
        figures = []
        for size in (1, 50):
            rounds = [[tree.ask(0) for _ in range(size)] for _ in range(_ROUNDS if size == 1 else _ROUNDS // 5)]
            figures.append((size, *(_time(work, rounds) for work in (hold, _charging(charge, Tick)))))
        (_, hold_one, charge_one), (_, hold_many, charge_many) = figures
        cells = (hold_one, hold_many, hold_many / 50, charge_one, charge_many, charge_many / 50)
        print(f"| {label} | " + " | ".join(f"{cell:,.0f} us" for cell in cells) + " |", flush=True)


def _charging(charge: Any, tick: Any) -> Callable[[Any], object]:
    return lambda asks: charge([tick(ask.key, 60_000) for ask in asks])


def _time(work: Callable[[Any], object], rounds: list[Any]) -> float:
    """Return the median of the microseconds that `work` takes, its commit included."""
    from django.db import transaction  # noqa: PLC0415 -- needs Django

    took = []
    for asks in rounds:
        began = time.perf_counter()
        with transaction.atomic():
            work(asks)
        took.append((time.perf_counter() - began) * 1e6)
    return statistics.median(took)


if __name__ == "__main__":
    main()
