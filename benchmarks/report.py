"""What a benchmark returns, and how RESULTS.md is written."""

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table. `floor` is the least that the same work costs without the platform, in the same run."""

    name: str
    value: float
    unit: str
    bar: str
    met: bool
    floor: float | None = None
    floor_name: str = ""
    note: str = ""

    @property
    def ratio(self) -> str:
        return "" if not self.floor else f"{self.value / self.floor:.2f}"


def median_of(work: Callable[[], float], times: int) -> float:
    """Return the median of `times` runs of `work`, after one that is not counted."""
    work()
    return statistics.median(work() for _ in range(times))


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def write(results: Sequence[Result]) -> str:
    """Write the table and return it."""
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    lines = [
        "# Measured",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, Python {platform.python_version()}, load {load}",
        "when the run ended. Client, platform and PostgreSQL share the cores; fsync is on; authentication and policy are",
        "on. Machines are noisy: compare ratios within one run. Made by `make bench`.",
        "",
        "| what | measured | bar | met | floor in the same run | ratio | note |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        floor = f"{row.floor:,.4g} {row.unit} ({row.floor_name})" if row.floor else "-"
        met = "yes" if row.met else "**no**"
        lines.append(
            f"| {row.name} | {row.value:,.4g} {row.unit} | {row.bar} | {met} | {floor} | {row.ratio or '-'} | {row.note} |"
        )
    text = "\n".join(lines) + "\n"
    RESULTS.write_text(text)
    return text
