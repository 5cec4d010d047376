"""How the admin writes a state, a time, a quantity, a link: escaped HTML, without inline style or script."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.contrib.admin import display
from django.db.models import Model
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

EMPTY = "\N{EN DASH}"
Column = Callable[[Any, Any], SafeString]

NOTHING = format_html('<span class="quiet">{}</span>', EMPTY)

# States of other things than workloads, each drawn like the workload state it resembles.
_LOOKS = {
    "ok": "succeeded",
    "active": "succeeded",
    "live": "succeeded",
    "finished": "succeeded",
    "down": "failed",
    "late": "failed",
    "unknown": "lost",
    "drained": "stopping",
    "expired": "stopped",
    "revoked": "stopped",
    "disabled": "stopped",
    "archived": "stopped",
    "killed": "stopped",
    "admin": "running",
}
_STEPS = ((86_400, "d"), (3600, "h"), (60, "min"))


def chip(state: str, word: str = "") -> SafeString:
    """Show a state as shape, word and colour, by the same symbols and classes as every other page."""
    look = _LOOKS.get(state, state)
    return format_html(
        '<span class="state state-{}"><svg class="icon" width="16" height="16" aria-hidden="true" focusable="false">'
        '<use href="{}#state-{}"></use></svg>{}</span>',
        look,
        static("icons.svg"),
        look,
        word or state.replace("_", " "),
    )


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit or two: 42 s, 7 min, 2 h 5 min, 3 d 4 h."""
    left = int(seconds)
    parts = []
    for size, unit in _STEPS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or f"{left} s"


def since(moment: datetime | None) -> str:
    """Write how long ago `moment` was."""
    return "" if moment is None else duration(max(0.0, (timezone.now() - moment).total_seconds()))


def when(moment: datetime | None) -> SafeString:
    """Show a time as an age (or a time to go), with the exact time on hover."""
    if moment is None:
        return NOTHING
    away = (moment - timezone.now()).total_seconds()
    words = f"in {duration(away)}" if away > 0 else f"{duration(-away)} ago"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exactly(moment), words)


def exactly(moment: datetime) -> str:
    return f"{moment.astimezone(timezone.get_default_timezone()):%Y-%m-%d %H:%M:%S %Z}"


def size(amount: int) -> str:
    """Write bytes in the largest binary unit that keeps the number above one."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024 or unit == "TiB":  # noqa: PLR2004 -- binary units
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def link(url: str, words: object) -> SafeString:
    return format_html('<a href="{}">{}</a>', url, words)


def page_of(obj: Model | None, words: str = "") -> SafeString:
    """Link to the admin page of `obj`, or name it when it has none."""
    if obj is None:
        return NOTHING
    url = page_url(obj._meta.label_lower, obj.pk)  # noqa: SLF001 -- documented Django API
    return link(url, words or str(obj)) if url else format_html("{}", words or str(obj))


def page_url(label: str, pk: object) -> str:
    """Return the address of an object's admin page, or "" when its model ("app.model") has none."""
    try:
        return reverse(f"admin:{label.replace('.', '_')}_change", args=[pk])
    except NoReverseMatch:
        return ""


def list_url(label: str, **query: object) -> str:
    """Return the address of a model's list in the admin, filtered."""
    url = reverse(f"admin:{label.replace('.', '_')}_changelist", query=query or None)
    return str(url)


def meter(used: int, limit: int | None, words: str) -> SafeString:
    """Show `words` over a bar of `used` in `limit`; without a limit there is no bar."""
    if not limit:
        return format_html('<span class="meter">{}</span>', words)
    share = min(100, used * 100 // limit)
    level = "full" if used >= limit else "high" if used * 10 > limit * 9 else "fine"
    return format_html(
        '<span class="meter"><span>{}</span><progress data-level="{}" max="100" value="{}">{} %</progress></span>',
        words,
        level,
        share,
        share,
    )


def document(value: Any) -> SafeString:
    """Show a JSON document as it stands."""
    if value in (None, {}, [], ""):
        return NOTHING
    return format_html('<pre class="document">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False, default=str))


def lines(items: Iterable[object]) -> SafeString:
    """Show a list, one item a line."""
    rows = format_html_join("", "<li>{}</li>", ((item,) for item in items))
    return format_html('<ul class="plain">{}</ul>', rows) if rows else NOTHING


def warning(words: object) -> SafeString:
    return format_html('<span class="warning">{}</span>', words)


def time_of(field: str, words: str) -> Column:
    """Make an admin column of a time, sorted by it."""

    @display(description=words, ordering=field)
    def column(_page: Any, row: Any) -> SafeString:
        return when(getattr(row, field))

    return column


def owner_of(user: str, team: str) -> Column:
    """Make an admin column that links to a person and, smaller, to the team."""
    person, group = related(user), related(team)

    @display(description="whose", ordering=f"{user.replace('.', '__')}__username")
    def column(page: Any, row: Any) -> SafeString:
        shown = group(page, row)
        return person(page, row) if shown == NOTHING else format_html("{} <small>{}</small>", person(page, row), shown)

    return column


def related(path: str, words: str = "") -> Column:
    """Make an admin column that links to a related object, as "user" or "run.owner"."""

    @display(description=words or path.rpartition(".")[2], ordering=path.replace(".", "__"))
    def column(_page: Any, row: Any) -> SafeString:
        for name in path.split("."):
            row = getattr(row, name)
        return page_of(row)

    return column
