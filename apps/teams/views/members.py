"""Teams and their members."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from apps.access import policy
from apps.access.history import lines_of
from apps.access.views import GuardedView
from apps.accounts.forms import take_over
from apps.core.errors import DomainError, Invalid, NotFound
from apps.teams import services
from apps.teams.choices import TeamRole
from apps.teams.forms import InviteForm, MemberForm, ServiceAccountForm
from apps.teams.models import Invitation, Membership, Team


class TeamListView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = Team.objects.visible_to(self.user, "view").select_related("organization")
        teams = rows.annotate(people=Count("memberships")).order_by("organization__name", "name")
        return render(request, "teams/list.html", {"teams": teams})


class TeamView(GuardedView):
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return team_page(self, self.find(Team.objects.select_related("organization"), slug=slug))


class TeamHistoryView(GuardedView):
    """Who did what to the team and its members."""

    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        lines, page = lines_of(team, by=self.user, page=request.GET.get("page", "1"))
        return render(request, "teams/history.html", {"team": team, "lines": lines, "page": page})


class MemberAddView(GuardedView):
    """Add somebody by user name, or give him another role."""

    policy_action: ClassVar[str] = "manage"

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        form = MemberForm(request.POST)
        if form.is_valid():
            try:
                person = services.find_person(form.cleaned_data["username"], team=team, by=self.user)
                services.set_member(team, person, role=form.cleaned_data["role"], by=self.user)
            except Invalid as refusal:
                take_over(form, refusal.errors)
            else:
                messages.success(request, f"{person} is now {form.cleaned_data['role']} of {team}.")
                return redirect("team", slug=team.slug)
        return team_page(self, team, status=400, form=form)


class MemberChangeView(GuardedView):
    """Another role for a member, or the end of the membership."""

    policy_action: ClassVar[str] = "manage"

    def post(self, request: HttpRequest, slug: str, pk: int) -> HttpResponse:
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        member = (
            Membership.objects.visible_to(self.user, "manage").filter(team=team, pk=pk).select_related("user").first()
        )
        if member is None:
            raise NotFound
        if "remove" in request.POST:
            services.remove_member(team, member.user, by=self.user)
            messages.success(request, f"{member.user} is no longer in {team}. What he owns stays his.")
        else:
            services.set_member(team, member.user, role=request.POST.get("role", ""), by=self.user)
            messages.success(request, f"{member.user} is now {request.POST['role']} of {team}.")
        still_in = Team.objects.visible_to(self.user, "view").filter(pk=team.pk).exists()
        return redirect("team", slug=team.slug) if still_in else redirect("team-list")


class InviteView(GuardedView):
    """A link into the team; it is shown once, in the answer."""

    policy_action: ClassVar[str] = "manage"

    @method_decorator(never_cache)
    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        form = InviteForm(request.POST)
        if not form.is_valid():
            return team_page(self, team, status=400, invite=form)
        data = form.cleaned_data
        try:
            made, path = services.invite(
                [(team, data["role"])], by=self.user, email=data["email"], expires_in=form.lifetime()
            )
        except DomainError as refusal:
            take_over(form, getattr(refusal, "errors", None) or {"": [refusal.detail]})
            return team_page(self, team, status=refusal.status, invite=form)
        return team_page(self, team, status=201, invited=made, invitation_url=settings.FATHOM_URL + path)


class InvitationRevokeView(GuardedView):
    policy_action: ClassVar[str] = "revoke"

    def post(self, request: HttpRequest, slug: str, pk: Any) -> HttpResponse:
        invitation = self.find(Invitation.objects.filter(teams__team__slug=slug), pk=pk)
        services.revoke_invitation(invitation, by=self.user)
        messages.success(request, "The link is revoked; it opens nothing any more.")
        return redirect("team", slug=slug)


class ServiceAccountAddView(GuardedView):
    policy_action: ClassVar[str] = "manage"

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        team = self.find(Team.objects.select_related("organization"), slug=slug)
        form = ServiceAccountForm(request.POST)
        if form.is_valid():
            try:
                made = services.create_service_account(team, by=self.user, **form.cleaned_data)
            except DomainError as refusal:
                take_over(form, getattr(refusal, "errors", None) or {"": [refusal.detail]})
            else:
                messages.success(request, f"{made} is there. It can do nothing before it has a token.")
                return redirect("team-service-account", slug=team.slug, name=made.username)
        return team_page(self, team, status=400, service=form)


def team_page(view: GuardedView, team: Team, status: int = 200, **extra: Any) -> HttpResponse:
    """Show a team, its members by role and name, and what the reader may do with them."""
    rows = Membership.objects.visible_to(view.user, "view").filter(team=team).select_related("user")
    members = list(rows.order_by("role", "user__username"))
    context = {
        "team": team,
        "members": members,
        "people": [member for member in members if member.user.service_of_id is None],
        "robots": [member for member in members if member.user.service_of_id is not None],
        "roles": TeamRole.choices,
        "form": MemberForm(),
        "invite": InviteForm(),
        "service": ServiceAccountForm(),
        "invitations": _invitations(view, team),
        **extra,
    }
    return render(view.request, "teams/detail.html", context, status=status)


def _invitations(view: GuardedView, team: Team) -> Any:
    """The links into the team that nobody has used, for who may revoke them."""
    if not policy.can(view.user, "manage", team):
        return []
    rows = Invitation.objects.visible_to(view.user, "view").pending().filter(teams__team=team)
    return rows.select_related("made_by").prefetch_related("teams__team").order_by("-created_at")[:200]
