"""What other pages show of sharing: how many requests wait for the reader."""

from typing import Any

from django import template

from apps.sharing.models import AccessRequest

register = template.Library()
MOST = 99


@register.simple_tag(takes_context=True)
def waiting_requests(context: dict[str, Any]) -> int:
    """Count the open requests that the reader can decide, up to 99."""
    user = getattr(context.get("request"), "user", None)
    if user is None or not user.is_authenticated:
        return 0
    return AccessRequest.objects.open().to_decide(user)[:MOST].count()
