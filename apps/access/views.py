"""What guarded pages share."""

from typing import Any, ClassVar

from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from typing_extensions import override

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import DomainError, NotAllowed, NotFound


class GuardedView(LoginRequiredMixin, View):
    """A page. `policy_action` is required; "" means: any active person, the page shows only what `visible_to` gives.

    A refusal becomes a page with the reason: 404 for what may not be seen, 403 for what may not be done.
    """

    policy_action: ClassVar[str]
    shared_as: ClassVar[str] = ""  # the kind of object in the address, if it can be shared: a refusal offers to ask

    @override
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except DomainError as error:
            return error_page(request, error, kind=self.shared_as, pk=kwargs.get("pk"))

    @property
    def user(self) -> Any:
        return self.request.user

    def find(self, queryset: QuerySet[Any], **lookup: Any) -> Any:
        """Return the visible object on which `policy_action` is allowed. Raises: NotFound, NotAllowed."""
        try:
            found: Model = policy.find(queryset, self.user, **lookup)
        except (ObjectDoesNotExist, ValidationError, ValueError):
            kind, named = queryset.model._meta.label_lower, str(next(iter(lookup.values()), ""))  # noqa: SLF001 -- documented Django API
            raise refused(self.user, self.policy_action, kind, NotFound(), object_id=named) from None
        if self.policy_action != "view":  # that one was just judged
            policy.require(policy.in_person(self.user), self.policy_action, found)
        return found


def error_page(request: HttpRequest, error: DomainError, *, kind: str = "", pk: Any = None) -> HttpResponse:
    """Show what was refused, why, and the request id; where it names an object, also where to ask for access.

    SECURITY: the offer is made for every id, whether or not there is such an object.
    """
    asks = kind if isinstance(error, (NotFound, NotAllowed)) else ""
    return render(request, "error.html", {"error": error, "ask_kind": asks, "ask_pk": pk}, status=error.status)


def page_after_login(request: HttpRequest, wanted: str) -> str:
    """Return the page that was asked for before the login. SECURITY: never one of another host."""
    mine = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if mine else resolve_url("home")
