"""Organizations, teams and who is in them."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Count, Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, panel, question_filter
from apps.access.admin.display import link, list_url, page_of, related, time_of, when
from apps.access.admin.guarded import is_operator, may_operate
from apps.teams import services
from apps.teams.choices import TeamRole
from apps.teams.models import Membership, Organization, Team

if TYPE_CHECKING:
    FormSet = BaseInlineFormSet[Any, Any, Any]
    Inline = admin.TabularInline[Any, Any]
else:
    FormSet = BaseInlineFormSet
    Inline = admin.TabularInline


_ORGANIZATIONS = question_filter(
    Organization,
    [
        Question("teamless", "Without teams", lambda rows: rows.filter(teams=None)),
        Question("empty", "Nobody is in it", lambda rows: rows.exclude(teams__memberships__isnull=False)),
    ],
)
_TEAMS = question_filter(
    Team,
    [
        Question("empty", "Without members", lambda rows: rows.exclude(memberships__isnull=False)),
        Question(
            "leaderless", "Without a maintainer", lambda rows: rows.exclude(memberships__role=TeamRole.MAINTAINER)
        ),
    ],
)


@admin.register(Organization)
class OrganizationAdmin(GuardedAdmin):
    can_add = True
    list_display = ("name", "slug", "team_count", "created")
    list_filter = (_ORGANIZATIONS,)
    search_fields = ("name", "slug")
    ordering = ("name",)
    created = time_of("created_at", "created")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(number_of_teams=Count("teams"))
        return rows

    @override
    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("name", "slug", "team_count", "created") if obj else ("name", "slug")

    @override
    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    @override
    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        obj.pk = services.create_organization(slug=obj.slug, name=obj.name, by=request.user).pk

    @display(description="teams", ordering="number_of_teams")
    def team_count(self, organization: Any) -> SafeString:
        url = list_url("teams.team", organization__id__exact=organization.pk)
        return link(url, organization.number_of_teams)


class _MemberFormSet(FormSet):
    """Who a membership is of does not change: another person is another membership."""

    @override
    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        widget = form.fields["user"].widget
        widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        for name, words in (("user", "Person"), ("role", "Role"), ("DELETE", "Remove this member")):
            if name in form.fields:
                form.fields[name].widget.attrs["aria-label"] = words
        if form.instance.pk:
            form.fields["user"].disabled = True


class MembershipInline(Inline):
    """Written by `TeamAdmin.save_formset`, through the services."""

    model = Membership
    formset = _MemberFormSet
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    extra = 0
    verbose_name = "member"
    verbose_name_plural = "members"

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "team").order_by("user__username")

    @override
    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_operator(request)

    @override
    # Django gives inlines the parent as well.
    def has_add_permission(self, request: HttpRequest, obj: Model | None) -> bool:  # type: ignore[override]
        return may_operate(request)

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_operate(request)

    @override
    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_operate(request)


@admin.register(Team)
class TeamAdmin(GuardedAdmin):
    """Created with its group; from then on its members are what changes."""

    can_add = True
    can_change = True
    policy_change = "manage"
    list_display = ("name", "slug", "organization_shown", "member_count", "created")
    list_filter = (_TEAMS, "organization")
    list_select_related = ("organization",)
    search_fields = ("name", "slug", "organization__name")
    ordering = ("name",)
    organization_shown = related("organization")
    created = time_of("created_at", "created")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(members=Count("memberships"))
        return rows

    @override
    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("name", "slug", "organization_shown", "created") if obj else ("organization", "name", "slug")

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.get_fields(request, obj) if obj else ()

    @override
    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    @override
    def get_inlines(self, request: HttpRequest, obj: Model | None) -> Any:
        return (MembershipInline,) if obj else ()

    @override
    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        if not change:
            obj.pk = services.create_team(obj.organization, slug=obj.slug, name=obj.name, by=request.user).pk

    @override
    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        changed = formset.save(commit=False)
        for membership in formset.deleted_objects:
            services.remove_member(form.instance, membership.user, by=request.user)
        for membership in changed:
            services.set_member(form.instance, membership.user, role=membership.role, by=request.user)

    @display(description="members", ordering="members")
    def member_count(self, team: Any) -> int:
        return int(team.members)


_MOST = 50  # memberships and teams that are shown beside a person or an organization


@panel("accounts.user")
def _teams_of(user: Any, by: Any) -> Panel:
    rows = Membership.objects.visible_to(by, "view").filter(user=user).select_related("team__organization")
    cells = [
        (page_of(row.team), row.get_role_display(), page_of(row.team.organization), when(row.created_at))
        for row in rows.order_by("team__name")[:_MOST]
    ]
    return Panel("Teams", ("Team", "Role", "Organization", "Since"), cells, empty="In no team.")


@panel("teams.organization")
def _teams_in(organization: Organization, by: Any) -> Panel:
    rows = Team.objects.visible_to(by, "view").filter(organization=organization).annotate(people=Count("memberships"))
    cells = [(page_of(row), row.people, when(row.created_at)) for row in rows.order_by("name")[:_MOST]]
    url = list_url("teams.team", organization__id__exact=organization.pk)
    return Panel("Teams", ("Team", "Members", "Created"), cells, url, "No team yet.")
