"""What guarded model admins share: the stock Django admin, judged by the one policy."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from typing_extensions import override

from apps.access import policy
from apps.core.errors import DomainError


class GuardedAdmin(admin.ModelAdmin[Any]):
    """Only an active admin enters; rows come through `visible_to`; nothing is deleted here.

    `actions_of` may be overridden: which policy action stands behind viewing and changing.
    """

    show_full_result_count = False
    policy_view = "view"
    policy_change = "edit"
    can_add = False
    can_change = False

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).visible_to(request.user, self.policy_view)  # type: ignore[attr-defined]

    @override
    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_operator(request)

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return _is_operator(request) and (obj is None or policy.can(_user(request), self.policy_view, obj))

    @override
    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.can_add and _is_operator(request)

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if not (self.can_change and _is_operator(request)):
            return False
        return obj is None or policy.can(_user(request), self.policy_change, obj)

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def report(self, request: HttpRequest, done: int, words: str, failures: list[str]) -> None:
        """Tell the operator what an action did, and each refusal in its own words."""
        if done:
            messages.success(request, f"{done} {words}.")
        for failure in failures:
            messages.error(request, failure)

    def each(self, rows: Any, work: Any) -> tuple[int, list[str]]:
        """Apply the service call `work` to each row; collect refusals instead of stopping at the first."""
        done, failures = 0, []
        for row in rows:
            try:
                work(row)
            except DomainError as error:
                failures.append(f"{row}: {error.detail}")
            else:
                done += 1
        return done, failures


def _is_operator(request: HttpRequest) -> bool:
    user = _user(request)
    return bool(user.is_active and user.is_staff and user.is_superuser)


def _user(request: HttpRequest) -> Any:
    return request.user
