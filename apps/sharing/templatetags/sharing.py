"""What other pages show of sharing: how many requests wait for the reader."""

from typing import Any

from django import template
from django.db.models import Model
from django.urls import reverse
from django.utils.http import urlencode

from apps.accounts.models import User
from apps.sharing import kinds
from apps.sharing.models import AccessRequest

register = template.Library()
MOST = 99


@register.simple_tag(takes_context=True)
def waiting_requests(context: dict[str, Any]) -> int:
    """Count the open requests that the reader can decide, up to 99."""
    user = getattr(context.get("request"), "user", None)
    if user is None or not user.is_authenticated:
        return 0
    requests = AccessRequest.objects.open()
    return requests.to_decide(user)[:MOST].count() if requests.exists() else 0  # mostly there is none: every page asks


@register.simple_tag
def why_address(obj: Model | None) -> str:
    """Return the operators' page that explains access to this object, or of this person; "" for anything else."""
    if isinstance(obj, User):
        query = {"user": obj.username}
    elif obj is not None and obj._meta.model_name in kinds.kinds():  # noqa: SLF001 -- documented Django API
        query = {"kind": str(obj._meta.model_name), "id": str(obj.pk)}  # noqa: SLF001 -- documented Django API
    else:
        return ""
    return f"{reverse('admin:sharing_why')}?{urlencode(query)}"
