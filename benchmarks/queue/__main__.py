"""`python -m benchmarks.queue`: simulate, and write the table and the plots beside this file. Takes a minute or two on one core."""

import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

# The order of the queue is pure, but lives in Django apps: any address of a database does, nobody connects to it.
os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings.test", "DATABASE_URL": "postgresql://nobody@/none"}
os.environ.setdefault("FATHOM_HOME", "/nonexistent")
os.environ.setdefault("REDIS_URL", "redis://127.0.0.1:1/0")

import django

django.setup()

from benchmarks.queue.ours import FairTree  # noqa: E402
from benchmarks.queue.references import Cohort, Fifo, Multifactor  # noqa: E402
from benchmarks.queue.world import Outcome, Shape, jobs_of, run  # noqa: E402

_HERE = Path(__file__).parent
_SEEDS = (1, 2)
_COLOURS = {"Fathom": "#1f6feb", "FIFO": "#8b949e", "Kueue-like": "#d29922", "Slurm-like": "#a371f7"}
_WORLDS = {"a tenth without a time limit": Shape(), "everything with a time limit": Shape(unlimited=0.0)}


def main() -> None:
    lines = [
        "# The queue, simulated",
        "",
        "Made by `python -m benchmarks.queue`: 2,000 people in 20 teams with weights 1, 2 and 4, 256 GPUs, ten days of virtual time,",
        f"0.95 of what the cluster could do asked for; means of {len(_SEEDS)} seeds. Waits in hours; what a policy has not started twenty days",
        "after the last job came counts as waiting until then. Unfairness: how much of their share by weight teams with demand missed.",
    ]
    for title, shape in _WORLDS.items():
        lines += [
            "",
            f"## {title.capitalize()}",
            "",
            "| policy | useful utilisation | wait: mean | median | p95 | max | median of a person: p95 | unfairness | work lost |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for policy in (FairTree, Fifo, Cohort, Multifactor):
            found = []
            for seed in _SEEDS:
                world = replace(shape, seed=seed)
                found.append(run(world, jobs_of(world), policy(world)))
            lines.append(_row(found))
            sys.stdout.write(f"{lines[-1]}\n")
            sys.stdout.flush()
            if title == next(iter(_WORLDS)):
                _first[found[0].name] = found[0]
    (_HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    _plot(
        "waits.svg", "wait in hours (log) by part of the jobs", {n: _quantiles(o) for n, o in _first.items()}, log=True
    )
    _plot("use.svg", "part of the GPUs in use, by day", {name: _days(one) for name, one in _first.items()})


_first: dict[str, Outcome] = {}


def _row(found: Sequence[Outcome]) -> str:
    def mean(*values: float) -> float:
        return statistics.mean(values)

    cells = [
        f"{mean(*(one.utilisation for one in found)):.1%}",
        f"{mean(*(statistics.mean(one.waits) for one in found)):.2f}",
        *(f"{mean(*(one.wait(part) for one in found)):.2f}" for part in (0.5, 0.95)),
        f"{mean(*(max(one.waits) for one in found)):.0f}",
        f"{mean(*(one.people[int(len(one.people) * 0.95)] for one in found)):.2f}",
        f"{mean(*(one.unfairness for one in found)):.1%}",
        f"{mean(*(one.lost for one in found)):.1%}",
    ]
    return f"| {found[0].name} | {' | '.join(cells)} |"


def _quantiles(one: Outcome) -> list[float]:
    return [max(0.02, one.wait(step / 100)) for step in range(101)]


def _days(one: Outcome) -> list[float]:
    return [statistics.mean(one.series[start : start + 24]) for start in range(0, len(one.series), 24)]


def _plot(name: str, title: str, curves: dict[str, list[float]], *, log: bool = False) -> None:
    """Draw a few lines as SVG: enough to compare them."""
    from math import log10

    scale = (lambda value: log10(value)) if log else (lambda value: value)
    every = [scale(value) for curve in curves.values() for value in curve]
    low, high = (min(every), max(every)) if log else (0.0, 1.0)
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360" font-family="sans-serif" font-size="12">',
        '<rect width="720" height="360" fill="#fff"/>',
        f'<text x="50" y="22" font-size="14">{title}</text>',
    ]
    ticks = [0.02, 0.1, 1, 10, 24, 100] if log else [0.0, 0.25, 0.5, 0.75, 1.0]
    for tick in ticks:
        if low <= scale(tick) <= high:
            y = 320 - (scale(tick) - low) / (high - low) * 280
            parts.append(f'<path d="M50 {y:.1f}H600" stroke="#ddd"/><text x="10" y="{y + 4:.1f}">{tick:g}</text>')
    for place, (label, curve) in enumerate(curves.items()):
        points = " ".join(
            f"{50 + step / (len(curve) - 1) * 550:.1f},{320 - (scale(value) - low) / (high - low) * 280:.1f}"
            for step, value in enumerate(curve)
        )
        colour, y = _COLOURS[label], 60 + place * 20
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="612" y="{y}" fill="{colour}">{label}</text>')
    (_HERE / name).write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
