"""The page behind an invitation link, and a service account's own."""

from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from apps.access.views import GuardedView, error_page
from apps.accounts import services as accounts
from apps.accounts.forms import OVERLAPS, AccountForm, TokenForm, take_over
from apps.accounts.models import ApiToken, User
from apps.core.errors import DomainError, Invalid, NotAllowed, NotFound
from apps.teams import services
from apps.teams.choices import SERVICE_ROLES
from apps.teams.models import Invitation, Membership, Team

_BACKEND = "django.contrib.auth.backends.ModelBackend"


@method_decorator([sensitive_post_parameters(), never_cache], name="dispatch")
class JoinView(View):
    """Public: whoever holds the link chooses a name and a password, or joins with the account he is logged in with."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            invitation = services.find_invitation(token)
        except NotFound:
            return self._gone(request)
        return self._page(request, invitation, _form_for(invitation))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        try:
            invitation = services.find_invitation(token)
            if isinstance(request.user, User) and invitation.for_user is None:
                return self._join(request, token, request.user)
            return self._redeem(request, token, invitation)
        except NotFound:
            return self._gone(request)
        except DomainError as error:
            return error_page(request, error)

    def _join(self, request: HttpRequest, token: str, user: User) -> HttpResponse:
        teams = services.join_by_invitation(token, user=user)
        messages.success(request, f"You are in {', '.join(team.name for team in teams) or 'no new team'} now.")
        return redirect("team", slug=teams[0].slug) if len(teams) == 1 else redirect("team-list")

    def _redeem(self, request: HttpRequest, token: str, invitation: Invitation) -> HttpResponse:
        form = _form_for(invitation, request.POST)
        if form.is_valid():
            try:
                user = services.redeem_invitation(token, **form.facts())
            except Invalid as refusal:
                take_over(form, refusal.errors)
            else:
                login(request, user, backend=_BACKEND)
                messages.success(request, f"Welcome, {user}.")
                return redirect("home")
        return self._page(request, invitation, form, status=400)

    def _page(self, request: HttpRequest, invitation: Invitation, form: Any, status: int = 200) -> HttpResponse:
        context = {
            "invitation": invitation,
            "places": services.places_of(invitation),
            "form": form,
            "joins": request.user.is_authenticated and invitation.for_user is None,
        }
        return render(request, "teams/join.html", context, status=status)

    def _gone(self, request: HttpRequest) -> HttpResponse:
        return error_page(request, NotFound("This link was used, revoked or has expired, or never was one."))


def _form_for(invitation: Invitation, data: Any = None) -> AccountForm:
    form = AccountForm(data, initial={"email": invitation.email})
    if invitation.for_user is not None:
        for name in ("username", "email", "first_name", "last_name"):
            del form.fields[name]
    return form


class _OfServiceAccount(GuardedView):
    """A page of a service account: its team's maintainers only."""

    policy_action: ClassVar[str] = "manage"

    def account(self, slug: str, name: str) -> tuple[Team, User]:
        """Return the team and its service account. Raises: NotFound, NotAllowed."""
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        return team, services.find_service_account(team, name, by=self.user)


class ServiceAccountView(_OfServiceAccount):
    """A service account: its role, whether it may come in, and its tokens. Its maintainers change them."""

    policy_action: ClassVar[str] = "manage"

    def get(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        team, account = self.account(slug, name)
        return account_page(self, team, account, TokenForm(initial={"expires_in_days": "90", "scope": "all"}))

    def post(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        team, account = self.account(slug, name)
        if "role" in request.POST:
            services.set_service_role(account, role=request.POST["role"], by=self.user)
            messages.success(request, f"{account} is now {request.POST['role']} of {team}.")
        elif "enable" in request.POST:
            services.enable_service_account(account, by=self.user)
            messages.success(request, f"{account} may come in again, with a new token.")
        elif "disable" in request.POST:
            services.disable_service_account(account, by=self.user)
            messages.success(request, f"{account} is disabled; its tokens ended and its jobs are stopped.")
        return redirect("team-service-account", slug=slug, name=name)


class ServiceTokenAddView(_OfServiceAccount):
    """A new token for a service account; it is shown once, in the answer."""

    policy_action: ClassVar[str] = "manage"

    @method_decorator(never_cache)
    def post(self, request: HttpRequest, slug: str, name: str) -> HttpResponse:
        team, account = self.account(slug, name)
        form = TokenForm(request.POST)
        if not form.is_valid():
            return account_page(self, team, account, form, status=400)
        try:
            token, value = accounts.issue_token(account, by=self.user, **form.facts())
        except (Invalid, NotAllowed) as refusal:
            take_over(form, getattr(refusal, "errors", None) or {"scope": [refusal.detail]})
            return account_page(self, team, account, form, status=400)
        return account_page(self, team, account, TokenForm(), status=201, created=token, value=value)


def account_page(
    view: GuardedView, team: Team, account: User, form: TokenForm, status: int = 200, **extra: Any
) -> HttpResponse:
    """Show a service account with its live tokens."""
    tokens = ApiToken.objects.visible_to(view.user, "view").filter(user=account, revoked_at=None)
    mine = Membership.objects.visible_to(view.user, "view").filter(team=team, user=account)
    context = {
        "team": team,
        "account": account,
        "role": mine.values_list("role", flat=True).first(),
        "roles": SERVICE_ROLES,
        "tokens": tokens.order_by("-created_at")[:200],
        "overlaps": OVERLAPS,
        "form": form,
        **extra,
    }
    return render(view.request, "teams/service_account.html", context, status=status)
