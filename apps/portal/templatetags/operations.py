"""How the admin's own templates write what its lists write: one place says what a state or an age looks like."""

from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.access.admin import display
from apps.compute.choices import ClusterState
from apps.compute.models import Cluster
from apps.quotas.choices import in_units, words

register = template.Library()


@register.simple_tag
def chip(state: str) -> SafeString:
    return display.chip(state)


_VERDICTS = {"done": ("ok", "changed"), "refused": ("failed", "refused"), "idle": ("stopped", "unchanged")}


@register.simple_tag
def verdict(name: str) -> SafeString:
    """Show what became, or would become, of a row."""
    return display.chip(*_VERDICTS[name])


@register.simple_tag
def ago(moment: datetime | None) -> SafeString:
    return display.when(moment)


@register.filter
def age(moment: datetime | None) -> str:
    return display.since(moment)


@register.simple_tag
def cluster_state(cluster: Cluster) -> SafeString:
    """Show what the cluster says of itself, and what an operator decided about it."""
    chips = [display.chip(cluster.state, ClusterState(cluster.state).label)]
    chips += [display.chip("drained")] if cluster.is_drained else []
    chips += [] if cluster.is_enabled else [display.chip("disabled")]
    return format_html("{} " * len(chips), *chips)


@register.simple_tag
def limit_bar(limit: Any) -> SafeString:
    """Show what is used of a limit."""
    used, most = in_units(limit.resource, limit.used), in_units(limit.resource, limit.limit)
    return display.meter(limit.used, limit.limit, f"{used} of {most} {words(limit.resource)}")
