"""What I use and may use, what my teams do, and what waits."""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers

from apps.access.views import GuardedView
from apps.budgets import costs, overview
from apps.budgets.statement import as_csv, statement
from apps.core.errors import Invalid, NotFound
from apps.experiments import usage
from apps.experiments.services import quota_node
from apps.portal import bars, shares, waiting
from apps.portal.forms import ShareForm
from apps.quotas import services as quotas
from apps.quotas.forms import field_name
from apps.teams.models import Membership, Team


class UsageView(GuardedView):
    """What I use and may use, alone and in my teams; what of mine waits; how my turn comes about; what it costs."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        nodes = bars.nodes_of(self.user)
        teams = shares.teams_of(self.user, nodes)
        context: dict[str, Any] = {
            "nodes": [node for node in nodes if node.kind != "team" and "/" not in node.key and node.bars],
            "teams": teams,
            "turns": shares.turns_of(self.user, nodes),
            "half_life_hours": int(settings.FAIR_SHARE_HALF_LIFE.total_seconds() // 3600),
            "queue": usage.waiting_of(self.user),
            "money": overview.is_in_use(),
        }
        if context["money"]:
            context |= {"spent": overview.spent_by(self.user), "budgets": overview.budgets_of(self.user)}
        return render(request, "quotas/usage.html", context)


class StatementView(GuardedView):
    """A statement of what I may see, as a file."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> StreamingHttpResponse:
        since, until = costs.between(request.GET.get("since"), request.GET.get("until"))
        found = statement(costs.scope(self.user, since=since, until=until))
        headers = {"Content-Disposition": 'attachment; filename="statement.csv"', "Cache-Control": "no-store"}
        return StreamingHttpResponse(as_csv(found), content_type="text/csv; charset=utf-8", headers=headers)


class QueueView(GuardedView):
    """What waits that I may see, in the order of the queue."""

    policy_action: ClassVar[str] = ""

    def get(self, request: HttpRequest) -> HttpResponse:
        only_mine = bool(request.GET.get("mine"))
        lines, count = waiting.places(self.user, only_mine=only_mine)
        context = {"lines": lines, "count": count, "only_mine": only_mine, "most": waiting.MOST_SHOWN}
        part = request.headers.get("HX-Target") == "waiting"
        response = render(request, "quotas/_partials/waiting.html" if part else "quotas/queue.html", context)
        patch_vary_headers(response, ["HX-Target"])
        return response


class MemberView(GuardedView):
    """What a member may hold of his team's share: a page, and a sheet over the usage page."""

    policy_action: ClassVar[str] = "manage"

    def get(self, request: HttpRequest, slug: str, username: str) -> HttpResponse:  # noqa: ARG002 -- Django passes it
        team, member = self._member(slug, username)
        return self._page(team, member, self._form(team, member))

    def post(self, request: HttpRequest, slug: str, username: str) -> HttpResponse:
        team, member = self._member(slug, username)
        form = self._form(team, member, request.POST)
        if form.is_valid():
            data = form.cleaned_data
            facts = {"weight": data["weight"], "reason": data["reason"]}
            try:
                quotas.set_share(quota_node(member.user, team), form.changed(), by=self.user, **facts)
            except Invalid as refusal:
                for name, sentences in refusal.errors.items():
                    field = name if name in form.fields else field_name(name)
                    form.add_error(field if field in form.fields else None, sentences)
            else:
                messages.success(request, f"The share of {username} in {team} is changed.")
                return self._onward()
        return self._page(team, member, form, 400)

    def _member(self, slug: str, username: str) -> tuple[Team, Membership]:
        team: Team = self.find(Team.objects.all(), slug=slug)
        rows = Membership.objects.visible_to(self.user, "view").filter(team=team, user__username=username)
        member: Membership | None = rows.select_related("user").first()
        if member is None:
            raise NotFound
        return team, member

    def _form(self, team: Team, member: Membership, data: Any = None) -> ShareForm:
        node = shares.member_node(team, member.user)
        own, most = shares.limits_of(node), shares.limits_of(shares.team_node(team))
        return ShareForm(data, own=own, team=most, initial={"weight": node.weight if node else 1})

    def _page(self, team: Team, member: Membership, form: ShareForm, status: int = 200) -> HttpResponse:
        sheet = bool(self.request.headers.get("HX-Request"))
        context = {"team": team, "member": member, "form": form, "is_dialog": sheet}
        # htmx swaps in only what is well: the sentences beside the fields say what is not.
        answer = (
            render(self.request, "quotas/_partials/member.html", context)
            if sheet
            else render(self.request, "quotas/member.html", context, status=status)
        )
        patch_vary_headers(answer, ["HX-Request"])
        return answer

    def _onward(self) -> HttpResponse:
        if self.request.headers.get("HX-Request"):
            return HttpResponse(headers={"HX-Redirect": reverse("usage")})
        return redirect("usage")
