"""Teams and their members."""

from typing import ClassVar

from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.access.history import lines_of
from apps.access.views import GuardedView
from apps.core.errors import Invalid, NotFound
from apps.teams import services
from apps.teams.choices import TeamRole
from apps.teams.forms import MemberForm
from apps.teams.models import Membership, Team


class TeamListView(GuardedView):
    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = Team.objects.visible_to(self.user, "view").select_related("organization")
        teams = rows.annotate(people=Count("memberships")).order_by("organization__name", "name")
        return render(request, "teams/list.html", {"teams": teams})


class TeamView(GuardedView):
    policy_action: ClassVar[str] = "view"

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        return team_page(self, self.find(Team.objects.select_related("organization"), slug=slug), MemberForm())


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
                for field, sentences in refusal.errors.items():
                    form.add_error(field if field in form.fields else None, sentences)
            else:
                messages.success(request, f"{person} is now {form.cleaned_data['role']} of {team}.")
                return redirect("team", slug=team.slug)
        return team_page(self, team, form, status=400)


class MemberChangeView(GuardedView):
    """Another role for a member, or the end of the membership."""

    policy_action: ClassVar[str] = "manage"

    def post(self, request: HttpRequest, slug: str, pk: int) -> HttpResponse:
        team = self.find(Team.objects.all(), slug=slug)
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


def team_page(view: GuardedView, team: Team, form: MemberForm, status: int = 200) -> HttpResponse:
    """Show a team, its members by role and name, and what the reader may do with them."""
    members = Membership.objects.visible_to(view.user, "view").filter(team=team).select_related("user")
    context = {
        "team": team,
        "members": members.order_by("role", "user__username"),
        "roles": TeamRole.choices,
        "form": form,
    }
    return render(view.request, "teams/detail.html", context, status=status)
