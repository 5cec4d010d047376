"""Permissions in templates: `{% decision experiment "stop" as may_stop %}`, then `may_stop.allowed`, `may_stop.reason`."""

from typing import Any

from django import template
from django.db.models import Model

from apps.access import policy
from apps.access.decision import Decision

register = template.Library()


@register.simple_tag(takes_context=True)
def decision(context: dict[str, Any], obj: Model, action: str) -> Decision:
    """Return the judge's answer for the person who looks at the page."""
    return policy.decide(policy.in_person(context["request"].user), action, obj)
