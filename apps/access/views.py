"""What guarded pages share."""

from typing import Any, ClassVar, cast

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views import View
from typing_extensions import override

from apps.access import policy
from apps.core.errors import DomainError, NotFound


class GuardedView(LoginRequiredMixin, View):
    """A page. `policy_action` is required; "" means: any active person, the page shows only what `visible_to` gives.

    A refusal becomes a page with the reason: 404 for what may not be seen, 403 for what may not be done.
    """

    policy_action: ClassVar[str]

    @override
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return error_page(request, error)

    @property
    def user(self) -> Any:
        return self.request.user

    def find(self, queryset: QuerySet[Any], **lookup: Any) -> Any:
        """Return the visible object on which `policy_action` is allowed. Raises: NotFound, NotAllowed."""
        guarded = cast("Any", queryset).visible_to(self.user, "view")
        try:
            found: Model = guarded.get(**lookup)
        except (ObjectDoesNotExist, ValidationError, ValueError):
            raise NotFound from None
        policy.require(policy.in_person(self.user), self.policy_action, found)
        return found


def error_page(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Show what was refused, why, and the request id."""
    return render(request, "error.html", {"error": error}, status=error.status)
