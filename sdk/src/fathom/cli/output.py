"""Showing results: aligned tables and facts for people, JSON and YAML for programs."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

SHAPES = {
    "queued": ("○", "o", "yellow"),
    "starting": ("◔", ">", "cyan"),
    "running": ("●", "*", "blue"),
    "stopping": ("◌", "~", "yellow"),
    "succeeded": ("✓", "+", "green"),
    "finished": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "stopped": ("■", "-", "bright_black"),
    "killed": ("■", "-", "bright_black"),
    "lost": ("?", "?", "magenta"),
    "building": ("●", "*", "blue"),
    "ready": ("✓", "+", "green"),
    "removing": ("◌", "~", "yellow"),
    "removed": ("■", "-", "bright_black"),
    "ok": ("✓", "+", "green"),
    "down": ("✗", "x", "red"),
    "unknown": ("?", "?", "magenta"),
    "drained": ("■", "-", "yellow"),
}
MAX_CELL = 60
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def output_option(command: F) -> F:
    """The `-o` that every command has which reports something."""
    option = click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml"]),
        default="table",
        show_default=True,
        help="How to show the result.",
    )
    return option(command)


def emit(output: str, data: Any, human: Callable[[], str]) -> None:
    """Print `data` as JSON or YAML, or what `human` makes for a terminal."""
    if output == "json":
        click.echo(json.dumps(data, indent=2, default=str, ensure_ascii=False))
    elif output == "yaml":
        import yaml  # noqa: PLC0415 -- only this format needs it

        plain = json.loads(json.dumps(data, default=str))
        click.echo(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).rstrip("\n"))
    else:
        text = human()
        if text:
            click.echo(text, color=use_color(sys.stdout))


def use_color(stream: Any) -> bool:
    """Colours go to terminals only, and never where NO_COLOR is set (to anything)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and bool(stream.isatty())


def chip(state: str) -> str:
    """A state as shape, word and colour; the shape is ASCII where the terminal has nothing better."""
    shape, plain, color = SHAPES.get(state, ("·", ".", "white"))
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        shape.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        shape = plain
    return click.style(f"{shape} {state}", fg=color)


def clean(value: Any, width: int | None = None) -> str:
    """Text for a terminal. SECURITY: names and messages are other people's; control characters must not reach it."""
    text = "" if value is None else str(value)
    text = _CONTROL.sub(" ", text)
    return text if width is None or len(text) <= width else f"{text[: width - 1]}…"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns as wide as their content; `right` names those to align right. Empty without rows."""
    if not rows:
        return ""
    lines = [[click.style(header, bold=True) for header in headers], *rows]
    widths = [max(len(click.unstyle(line[index])) for line in lines) for index in range(len(headers))]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[int]) -> str:
    padded = []
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        gap = " " * (width - len(click.unstyle(cell)))
        padded.append(gap + cell if index in right else cell + gap)
    return "  ".join(padded).rstrip()


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """Label and value, one a line; empty values are left out."""
    shown = [(label, value) for label, value in pairs if value]
    width = max((len(label) for label, _ in shown), default=0)
    return "\n".join(f"{click.style(label.ljust(width), fg='bright_black')}  {value}" for label, value in shown)


def ago(moment: datetime | None) -> str:
    """How long since, in one unit."""
    if moment is None:
        return ""
    seconds = (datetime.now(UTC) - moment).total_seconds()
    if seconds < 0:
        return "now"
    for size, unit in ((86400 * 365, "y"), (86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def duration(seconds: float | None) -> str:
    """`0.4s`, `12s`, `3m 05s`, `2h 07m`, `3d 04h`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if seconds < 10:  # noqa: PLR2004 -- below that a digit is worth showing
        return f"{seconds:.1f}s"
    for size, inner, unit, small in ((86400, 3600, "d", "h"), (3600, 60, "h", "m"), (60, 1, "m", "s")):
        if whole >= size:
            return f"{whole // size}{unit} {whole % size // inner:02d}{small}"
    return f"{whole}s"


def size(count: float | None) -> str:
    """Bytes in binary units."""
    if count is None:
        return ""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004 -- binary units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def number(value: float | None) -> str:
    """A metric's value, short but exact enough to compare."""
    return "" if value is None else f"{value:.6g}"


def mapping(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{clean(key)}={clean(value)}" for key, value in values.items())
