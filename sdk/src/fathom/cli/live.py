"""Following an experiment in a terminal: its log on standard output, everything else on standard error."""

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Self

import click

from fathom.cli import exits
from fathom.cli.output import chip, clean, duration, number, table, use_color
from fathom.client import Client
from fathom.errors import ApiError
from fathom.following import LogText
from fathom.models import Experiment, Run

TICK_SECONDS = 0.5
METRICS_SECONDS = 3.0


class ProgressLine:
    """The line below the log: state, elapsed time, newest step and metrics. Drawn only on a terminal."""

    def __init__(self, client: Client, experiment: Experiment) -> None:
        self._client = client
        self._experiment = experiment
        self._began = time.monotonic()
        self._metrics = ""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._at_line_start = True
        self._live = sys.stderr.isatty() and use_color(sys.stderr)
        self._thread = threading.Thread(target=self._tick, name="fathom-progress", daemon=True)

    def __enter__(self) -> Self:
        if self._live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        with self._lock:
            self._erase()
            if not self._at_line_start:
                click.echo()

    def log(self, text: str) -> None:
        """Print log text above the line."""
        if not text:
            return
        with self._lock:
            self._erase()
            sys.stdout.write(text)
            sys.stdout.flush()
            self._at_line_start = text.endswith("\n")
            self._draw()

    def state(self, experiment: Experiment) -> None:
        """Take note of a state; where no line is drawn it is said in one of its own."""
        with self._lock:
            self._experiment = experiment
            if self._live:
                self._erase()
                self._draw()
            else:
                why = f": {clean(experiment.message)}" if experiment.message else ""
                click.echo(f"fathom: {experiment.state}{why}", err=True)

    def _tick(self) -> None:
        asked = time.monotonic()
        while not self._stop.wait(TICK_SECONDS):
            if time.monotonic() - asked > METRICS_SECONDS and self._experiment.state == "running":
                asked = time.monotonic()
                self._metrics = self._newest_metrics()
            with self._lock:
                if not self._stop.is_set():
                    self._erase()
                    self._draw()

    def _newest_metrics(self) -> str:
        try:
            run = self._client.runs.get(self._experiment.id)
        except ApiError:
            return self._metrics  # it is only decoration
        steps = [metric.step for metric in run.metrics.values() if metric.step is not None]
        values = [f"{clean(key, 20)} {number(metric.value)}" for key, metric in list(run.metrics.items())[:3]]
        return " · ".join([f"step {max(steps)}", *values]) if steps else ""

    def _erase(self) -> None:
        if self._live and self._at_line_start:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _draw(self) -> None:
        if not self._live or not self._at_line_start:
            return
        width = shutil.get_terminal_size().columns - 1
        detail = self._metrics if self._experiment.state == "running" else clean(self._experiment.message)
        plain = f"{duration(time.monotonic() - self._began)}  {detail}"
        head = chip(self._experiment.state)
        room = max(0, width - len(click.unstyle(head)) - 2)
        sys.stderr.write(f"{head}  {plain[:room]}")
        sys.stderr.flush()


def follow(client: Client, experiment: Experiment, *, attempt: int | None = None) -> Experiment:
    """Show the log until the end. Returns the ended experiment. Raises: KeyboardInterrupt on Ctrl-C."""
    with ProgressLine(client, experiment) as line:
        for item in client.experiments.follow(experiment.id, attempt=attempt):
            if isinstance(item, LogText):
                line.log(item.text)
            else:
                line.state(item.experiment)
    return client.experiments.get(experiment.id)


def conclude(client: Client, experiment: Experiment) -> int:
    """Print how it ended, its metrics and its address, on standard error. Returns the exit code."""
    click.echo(f"\n{headline(experiment)}", err=True, color=use_color(sys.stderr))
    try:
        text = metrics_table(client.runs.get(experiment.id))
    except ApiError:
        text = ""  # nothing was tracked, or tracking is not for this token
    if text:
        click.echo(text, err=True, color=use_color(sys.stderr))
    click.echo(experiment.url or f"{client.url}/experiments/{experiment.id}/", err=True)
    return job_exit_code(experiment)


def headline(experiment: Experiment) -> str:
    """`✓ succeeded  digits  in 4.2s`, with the reason when there is one."""
    parts = [chip(experiment.state), click.style(clean(experiment.name), bold=True)]
    if experiment.duration_seconds is not None:
        parts.append(f"in {duration(experiment.duration_seconds)}")
    if experiment.exit_code:
        parts.append(f"exit code {experiment.exit_code}")
    if experiment.message:
        parts.append(clean(experiment.message))
    return "  ".join(parts)


def metrics_table(run: Run) -> str:
    """Final values, with the extremes."""
    rows = [
        [
            clean(key, 60),
            number(metric.value),
            "" if metric.step is None else str(metric.step),
            number(metric.min),
            number(metric.max),
        ]
        for key, metric in sorted(run.metrics.items())
    ]
    return table(["METRIC", "LAST", "STEP", "MIN", "MAX"], rows, right=(1, 2, 3, 4))


def job_exit_code(experiment: Experiment) -> int:
    """The job's own exit code; 1 when it ended badly without one (stopped, lost, never started)."""
    if experiment.state == "succeeded":
        return exits.OK
    code = experiment.exit_code
    return code if code is not None and 0 < code < 256 else exits.FAILED  # noqa: PLR2004 -- what a shell can take
