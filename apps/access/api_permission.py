"""The default permission of the API: deny unless the view declares what policy action it performs.

Alone in its module: DRF imports it while it loads its own views.
"""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from typing_extensions import override


class DeclaredPermission(BasePermission):
    """Pass a logged-in person to a view that declares its policy actions, or anybody to one declared public."""

    @override
    def has_permission(self, request: Request, view: Any) -> bool:
        if getattr(view, "public_reason", ""):
            return True
        if not (request.user.is_authenticated and request.user.is_active):
            return False
        action = getattr(view, "action", None)
        if action in (None, "metadata"):  # a method the view does not have, or OPTIONS: DRF answers 405 itself
            return True
        if action not in view.policy_actions:
            msg = f"{type(view).__name__}.{action} declares no policy action"
            raise LookupError(msg)
        return True
