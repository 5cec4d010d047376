"""Small pieces every page is made of: icons, states, times, sizes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.compute.why import Obstacle
from apps.core.middleware import current_request
from apps.portal import allocations, bars
from apps.portal.bars import with_unit
from apps.quotas.choices import in_units, words
from apps.quotas.forms import write_amount

register = template.Library()

_STEPS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_AGES = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3_600), ("minute", 60))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")
_KIBI = 1024
_LONG_WHILE = 10
_THEMES = ("light", "dark")
_LOOKS = {
    "finished": "succeeded",
    "killed": "stopped",
    "building": "running",
    "ready": "succeeded",
    "removing": "stopping",
    "removed": "stopped",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw one symbol of the sprite; decoration only, so the words stand beside it."""
    return format_html(
        '<svg class="icon" width="16" height="16" aria-hidden="true" focusable="false"><use href="{}#{}"></use></svg>',
        static("icons.svg"),
        name,
    )


@register.simple_tag
def state_chip(state: str) -> SafeString:
    """Draw a state: shape, word and colour, the same everywhere. What trackers and builds call otherwise looks like a job's."""
    look = _LOOKS.get(state, state)
    return format_html('<span class="state state-{}">{}{}</span>', look, icon(f"state-{look}"), state)


@register.simple_tag
def ago(moment: datetime | None) -> SafeString | str:
    """Write how long ago, with the exact time on hover; a script keeps it true while the page is open."""
    if moment is None:
        return "-"
    exact = moment.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{}" data-ago>{}</time>',
        exact.isoformat(),
        f"{exact:%Y-%m-%d %H:%M:%S} UTC",
        age(moment),
    )


def age(moment: datetime) -> str:
    seconds = (timezone.now() - moment).total_seconds()
    suffix, seconds = ("ago", seconds) if seconds >= 0 else ("from now", -seconds)
    for word, length in _AGES:
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {word}{'' if count == 1 else 's'} {suffix}"
    return "just now" if suffix == "ago" or seconds < _LONG_WHILE else "in less than a minute"


@register.simple_tag
def duration(start: datetime | None, end: datetime | None = None) -> SafeString | str:
    """Write a length of time; without an end it runs on."""
    if start is None:
        return "-"
    if end is None:
        return format_html(
            '<span class="nowrap" data-since="{}">{}</span>', start.isoformat(), length(timezone.now() - start)
        )
    return length(end - start)


def length(span: timedelta) -> str:
    seconds = max(0.0, span.total_seconds())
    if seconds < _LONG_WHILE:
        return f"{seconds:.1f}s"
    rest = int(seconds)
    parts: list[str] = []
    for letter, size in _STEPS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count}{letter}")
    return " ".join(parts[:2])


@register.filter
def filesize(count: int | None) -> str:
    """Write bytes as people read them: 1536 is "1.5 KiB"."""
    amount, unit = float(count or 0), _BYTES[0]
    for unit in _BYTES:
        if amount < _KIBI or unit == _BYTES[-1]:
            break
        amount /= _KIBI
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


@register.filter
def metric(value: float | None) -> str:
    """Write a measured number in at most five significant digits."""
    if value is None:
        return "-"
    return f"{value:.5g}"


@register.simple_tag(takes_context=True)
def current(context: dict[str, Any], *names: str) -> SafeString | str:
    """Mark the navigation entry of the page one is on."""
    match = getattr(context.get("request"), "resolver_match", None)
    here = match is not None and any(str(match.url_name).startswith(name) for name in names)
    return SafeString(' aria-current="page"') if here else ""


@register.simple_tag
def request_id() -> str:
    """Return the id under which an operator finds this request in the log."""
    return current_request.get().request_id


@register.simple_tag(takes_context=True)
def preference(context: dict[str, Any], name: str) -> str:
    """Return what the reader chose for `theme` or `sidebar`, kept in a cookie; nothing when he left it to us."""
    request = context.get("request")
    value = request.COOKIES.get(f"fathom_{name}", "") if request is not None else ""
    allowed = _THEMES if name == "theme" else ("narrow",)
    return value if value in allowed else ""


@register.simple_tag(takes_context=True)
def without(context: dict[str, Any], name: str) -> str:
    """Return the page's query without one filter, from the first page on."""
    query = context["request"].GET.copy()
    for dropped in (name, "before", "after"):
        query.pop(dropped, None)
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def waiting_allocations(context: dict[str, Any]) -> int:
    """Count the requests for more that wait for the reader's answer."""
    user = getattr(context.get("request"), "user", None)
    return allocations.count_waiting(user) if user is not None and user.is_authenticated else 0


@register.simple_tag
def amount(resource: str, count: int | None, *, spelled: bool = False) -> str:
    """Write an amount in the units people use: "8", "32 GiB"; spelled out "8 GPUs"."""
    if count is None:
        return "any"
    return f"{in_units(resource, count)} {words(resource)}" if spelled else with_unit(resource, count)


@register.simple_tag(takes_context=True)
def title_of(context: dict[str, Any], resource: str) -> str:
    """Return the title of a resource; they are read once for a page."""
    titles: dict[str, str] = context.render_context.setdefault("titles_of", {})  # type: ignore[attr-defined]
    if not titles:
        titles.update(bars.titles_of())
    return titles.get(resource, resource)


@register.simple_tag
def enough(obstacle: Obstacle) -> str:
    """Return what the limit would have to be for the work to start, as it is typed."""
    return write_amount(obstacle.resource, (obstacle.used or 0) + obstacle.need)
