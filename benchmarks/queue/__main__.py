"""`python -m benchmarks.queue`: simulate, and write the table and the plots beside this file. Takes a quarter of an hour on one core, longer on a busy one."""

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
from benchmarks.queue.references import Cohort, Fifo, Multifactor, ShortMemory  # noqa: E402
from benchmarks.queue.world import Outcome, Shape, jobs_of, quantile, run  # noqa: E402

_HERE = Path(__file__).parent
_SEEDS = (1, 2, 3)
_COLOURS = {"Fathom": "#1f6feb", "FIFO": "#8b949e", "Kueue-like": "#d29922", "Slurm-like": "#a371f7"}
_POLICIES = (FairTree, Fifo, Cohort, Multifactor, ShortMemory)
_WORLDS = {
    "Busy: 0.95 of the capacity asked for": Shape(),
    "Balanced: 0.8 asked for": Shape(load=0.8),
    "Gangs: more than a third of the work needs 8 to 64 GPUs": Shape(sizes=(40, 14, 12, 12, 10, 8, 4)),
    "One person: a quarter of the work comes from one, in five bursts": Shape(hog=0.25),
    "Overload: 1.2 asked for, seven days": Shape(load=1.2, days=7.0),
}
_COLUMNS = (
    "useful utilisation",
    "in use while enough was asked for",
    "wait: mean",
    "median",
    "p95",
    "max",
    "slowdown: mean",
    "median",
    "p95",
    "unfairness",
    "work lost",
)
_PARTS = (0, 1, 9, 10)  # the columns that are shown as a percentage
_RATIOS = (0, 1, 2, 3, 4, 6, 7, 8, 9)


def main() -> None:
    lines = [
        "# The queue, simulated",
        "",
        "Made by `python -m benchmarks.queue`: 2,000 people in 20 teams with weights 1, 2 and 4, 256 GPUs, 14 days of virtual time, a tenth of",
        f"the work without a time limit; medians of {len(_SEEDS)} seeds. Waits in hours; what a policy has not started after",
        "three times that time counts as waiting until then. Slowdown is bounded at ten minutes. Unfairness: how much of their max-min share by",
        "weight teams missed that wanted more than they had. The ratios are Fathom's figure over that of the reference, median of the seeds: utilisation",
        "is better above 1, all others below.",
    ]
    for title, shape in _WORLDS.items():
        lines += ["", f"## {title}", "", f"| policy | {' | '.join(_COLUMNS)} |", "|---" * (len(_COLUMNS) + 1) + "|"]
        of: dict[str, list[list[float]]] = {}
        for policy in _POLICIES:
            for seed in _SEEDS:
                world = replace(shape, seed=seed)
                found = run(world, jobs_of(world), policy(world))
                of.setdefault(policy.name, []).append(_figures(found))
                if shape == Shape() and seed == 1:
                    _first[policy.name] = found
            lines.append(_row(policy.name, of[policy.name]))
            _say(lines[-1])
        ours, *others = of
        for name in others:
            lines.append(_ratios(name, of[ours], of[name]))
            _say(lines[-1])
        (_HERE / "RESULTS.md").write_text("\n".join(lines) + "\n")
    shown = {name: one for name, one in _first.items() if name in _COLOURS}
    _plot(
        "waits.svg", "wait in hours (log) by part of the jobs", {n: _quantiles(o) for n, o in shown.items()}, log=True
    )
    _plot("use.svg", "part of the GPUs in use, by day", {name: _days(one) for name, one in shown.items()})


_first: dict[str, Outcome] = {}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _figures(one: Outcome) -> list[float]:
    return [
        one.utilisation,
        one.busy,
        statistics.mean(one.waits),
        one.wait(0.5),
        one.wait(0.95),
        max(one.waits),
        statistics.mean(one.slowdowns),
        quantile(one.slowdowns, 0.5),
        quantile(one.slowdowns, 0.95),
        one.unfairness,
        one.lost,
    ]


def _row(name: str, found: Sequence[Sequence[float]]) -> str:
    middle = [statistics.median(column) for column in zip(*found, strict=True)]
    cells = [f"{value:.1%}" if place in _PARTS else f"{value:.2f}" for place, value in enumerate(middle)]
    return f"| {name} | {' | '.join(cells)} |"


def _ratios(name: str, ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> str:
    """Compare seed by seed: the same work met both."""
    cells = [
        f"{statistics.median(a[place] / (b[place] or 1.0) for a, b in zip(ours, theirs, strict=True)):.3f}"
        if place in _RATIOS
        else ""
        for place in range(len(_COLUMNS))
    ]
    return f"| Fathom ÷ {name} | {' | '.join(cells)} |"


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
