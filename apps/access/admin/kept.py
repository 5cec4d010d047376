"""Rows that an admin adds, changes and deletes, each with a reason."""

from typing import Any

from django.http import HttpRequest
from typing_extensions import override

from apps.access.admin.guarded import GuardedAdmin


class KeptAdmin(GuardedAdmin):
    """Its form has a field `reason`, which is asked for where something can be saved."""

    can_add = True
    can_change = True
    policy_change = "manage"

    @override
    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        may_save = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        named = super().get_fields(request, obj)
        return named if may_save else [name for name in named if name != "reason"]
