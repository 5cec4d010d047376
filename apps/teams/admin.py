"""Organizations, teams and who is in them."""

from base64 import b64encode
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Model, QuerySet
from django.db.models.functions import Now
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Panel, Question, Reasoned, panel, question_filter
from apps.access.admin.autocompletes import ChecksAutocompletes
from apps.access.admin.display import NOTHING, chip, link, list_url, page_of, related, time_of, when
from apps.access.admin.guarded import is_operator, may_operate
from apps.accounts.models import User
from apps.core.errors import DomainError, Invalid
from apps.teams import people_file, services
from apps.teams.choices import TeamRole
from apps.teams.forms import ImportForm
from apps.teams.models import Invitation, Membership, Organization, Team

_MOST_SHOWN = 500  # lines of a file: more than a person reads

if TYPE_CHECKING:
    FormSet = BaseInlineFormSet[Any, Any, Any]
    Inline = admin.TabularInline[Any, Any]
else:
    FormSet = BaseInlineFormSet
    Inline = admin.TabularInline


def _actions(archive: Any, effect: str) -> tuple[Reasoned, Reasoned]:
    return (
        Reasoned(
            "archive",
            archive,
            label="Archive",
            effect=effect,
            done="archived",
            applies=lambda row: row.archived_at is None,
        ),
        Reasoned(
            "restore",
            services.restore,
            label="Restore",
            effect="It takes new work and new members again. What was closed with it is opened one by one.",
            done="restored",
            applies=lambda row: row.archived_at is not None,
        ),
    )


@display(description="state")
def _state(_page: Any, row: Any) -> SafeString:
    return chip("active" if row.archived_at is None else "archived")


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
    """Made, renamed and archived; the slug stays, since others refer to it."""

    can_add = True
    can_change = True
    policy_change = "manage"
    list_display = ("name", "slug", "state", "team_count", "created")
    list_filter = (_ORGANIZATIONS, ("archived_at", admin.EmptyFieldListFilter))
    state = _state
    actions = _actions(services.archive_organization, "All its teams are archived with it. Nothing is deleted.")
    search_fields = ("name", "slug")
    ordering = ("name",)
    created = time_of("created_at", "created")

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).annotate(number_of_teams=Count("teams"))
        return rows

    @override
    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("name", "slug", "state", "team_count", "created") if obj else ("name", "slug")

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("slug", "state", "team_count", "created") if obj else ()

    @override
    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    @override
    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        if change:
            _rename(Organization, obj, request)
            return
        obj.pk = services.create_organization(slug=obj.slug, name=obj.name, by=request.user).pk

    @display(description="teams", ordering="number_of_teams")
    def team_count(self, organization: Any) -> SafeString:
        url = list_url("teams.team", organization__id__exact=organization.pk)
        return link(url, organization.number_of_teams)


def _rename(model: Any, obj: Any, request: HttpRequest) -> None:
    """Change the row as it is now: the form has put the new name onto `obj`."""
    row = model.objects.visible_to(request.user, "view").get(pk=obj.pk)
    services.rename(row, name=obj.name, by=request.user)


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


class MembershipInline(ChecksAutocompletes, Inline):
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


class MembersShown(LatestInline):
    """All members, for who only reads."""

    model = Membership
    formset = FormSet
    fields = ("user", "role")
    ordering = ("user__username",)
    show_change_link = False
    verbose_name_plural = "members"

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "team")


@admin.register(Team)
class TeamAdmin(GuardedAdmin):
    """Created with its group; from then on its name and its members are what changes."""

    can_add = True
    can_change = True
    policy_change = "manage"
    list_display = ("name", "slug", "organization_shown", "state", "member_count", "created")
    list_filter = (_TEAMS, "organization", ("archived_at", admin.EmptyFieldListFilter))
    state = _state
    actions = _actions(
        services.archive_team,
        "No new work, no new members; its service accounts are disabled. What it has stays to be seen.",
    )
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
        return ("name", "slug", "organization_shown", "state", "created") if obj else ("organization", "name", "slug")

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return ("slug", "organization_shown", "state", "created") if obj else ()

    @override
    def get_urls(self) -> list[URLPattern]:
        page = self.own_page(self.import_view)
        return [path("import/", page, name="teams_team_import"), *super().get_urls()]

    @override
    def get_prepopulated_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return {} if obj else {"slug": ("name",)}

    @override
    def get_inlines(self, request: HttpRequest, obj: Model | None) -> Any:
        if obj is None:
            return ()
        return (MembershipInline,) if may_operate(request) else (MembersShown,)

    @override
    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        if change:
            _rename(Team, obj, request)
        else:
            obj.pk = services.create_team(obj.organization, slug=obj.slug, name=obj.name, by=request.user).pk

    @override
    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        changed = formset.save(commit=False)
        for membership in formset.deleted_objects:
            services.remove_member(form.instance, membership.user, by=request.user)
        for membership in changed:
            services.set_member(form.instance, membership.user, role=membership.role, by=request.user)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take a file of people: show what would happen, then do all of it or nothing."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
        context = {
            **self.admin_site.each_context(request),
            "title": "Import people",
            "columns": ",".join(people_file.COLUMNS),
            "form": form,
            "report": None,
            "problem": "",
        }
        if request.method == "POST" and form.is_valid():
            context |= self._imported(request, form)
        response = TemplateResponse(request, "admin/teams/import.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _imported(self, request: HttpRequest, form: ImportForm) -> dict[str, Any]:
        content = form.content()
        try:
            report = services.import_people(content, by=request.user, dry_run="_confirmed" not in request.POST)
        except DomainError as refusal:
            sentences = [s for found in getattr(refusal, "errors", {}).values() for s in found]
            return {"problem": " ".join(sentences[:20]) or refusal.detail}
        links = [(name, settings.FATHOM_URL + link) for name, link in report.links]
        text = people_file.write(("username", "link"), list(links))
        wrong = [row for row in report.lines if row.errors]
        rows = (wrong or report.lines)[:_MOST_SHOWN]
        return {
            "report": report,
            "rows": rows,
            "left": len(wrong or report.lines) - len(rows),
            "links": links,
            "links_text": text,
            "links_file": b64encode(text.encode()).decode(),
            "form": ImportForm(initial={"text": content.decode("utf-8-sig", errors="replace")}),
        }

    @display(description="members", ordering="members")
    def member_count(self, team: Any) -> int:
        return int(team.members)


class InvitationForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's is not generic at run time
    """A link into any teams; or one that opens an account which has no password yet."""

    teams = forms.ModelMultipleChoiceField(Team.objects.none(), required=False)
    role = forms.ChoiceField(choices=TeamRole.choices, initial=TeamRole.MEMBER, help_text="In each of these teams.")
    account = forms.CharField(
        max_length=150, required=False, help_text="User name of an account without a password, which the link opens."
    )
    days = forms.IntegerField(min_value=1, max_value=90, label="Works for so many days")

    class Meta:
        model = Invitation
        fields = ("email",)


_DAY = timedelta(days=1)
_INVITATIONS = question_filter(
    Invitation,
    [
        Question("pending", "Not redeemed yet", lambda rows: rows.pending()),
        Question("ending", "Ends within a day", lambda rows: rows.pending().filter(expires_at__lt=Now() + _DAY)),
        Question(
            "expired",
            "Expired without being redeemed",
            lambda rows: rows.filter(redeemed_at=None, revoked_at=None, expires_at__lte=Now()),
        ),
        Question("redeemed", "Redeemed", lambda rows: rows.filter(redeemed_at__isnull=False)),
    ],
)


@admin.register(Invitation)
class InvitationAdmin(GuardedAdmin):
    """Links by which people join: who made them, where they lead, what became of them. A new one is shown once."""

    can_add = True
    form = InvitationForm
    list_display = ("recipient", "state_shown", "into", "made_by_shown", "created", "expires", "redeemed_by_shown")
    list_select_related = ("made_by", "for_user", "redeemed_by")
    list_filter = (_INVITATIONS, ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("email", "made_by__username", "for_user__username", "redeemed_by__username")
    ordering = ("-created_at",)
    made_by_shown = related("made_by", "made by")
    for_user_shown = related("for_user", "for the account")
    redeemed_by_shown = related("redeemed_by", "redeemed by")
    created = time_of("created_at", "made")
    expires = time_of("expires_at", "expires")
    redeemed = time_of("redeemed_at", "redeemed")
    actions = (
        Reasoned(
            "revoke",
            services.revoke_invitation,
            label="Revoke",
            effect="The link opens nothing any more.",
            done="revoked",
            applies=lambda invitation: invitation.state == "pending",
        ),
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).prefetch_related("teams__team")
        return rows

    @override
    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ("teams", "role", "account", "email", "days")
        return (
            "email", "state_shown", "into", "for_user_shown", "made_by_shown", "created", "expires", "redeemed",
            "redeemed_by_shown",
        )  # fmt: skip

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.get_fields(request, obj) if obj else ()

    @override
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        if obj is None:
            open_teams = Team.objects.visible_to(request.user, "view").filter(archived_at=None)
            form.base_fields["teams"].queryset = open_teams.order_by("name")
            form.base_fields["days"].initial = max(1, settings.INVITATION_HOURS // 24)
        return form

    @override
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        data = form.cleaned_data
        made, link = services.invite(
            [(team, data["role"]) for team in data["teams"]],
            by=request.user,
            email=data["email"],
            expires_in=timedelta(days=data["days"]),
            for_user=self._account(request, data["account"]),
        )
        obj.pk = made.pk
        request.invited = made, settings.FATHOM_URL + link  # type: ignore[attr-defined]  # carried to response_add

    @override
    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Show the link, this once."""
        made, url = request.invited  # type: ignore[attr-defined]  # put there by save_model
        context = {
            **self.admin_site.each_context(request), "title": "Invitation link", "invitation": made, "url": url,
        }  # fmt: skip
        response = TemplateResponse(request, "admin/teams/invited.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _account(self, request: HttpRequest, name: str) -> User | None:
        if not name:
            return None
        account: User | None = User.objects.visible_to(request.user, "view").filter(username=name).first()
        if account is None:
            raise Invalid(errors={"account": ["There is nobody of this name."]})
        return account

    @display(description="for")
    def recipient(self, invitation: Invitation) -> str:
        return str(invitation.for_user or invitation.email or "whoever has the link")

    @display(description="state")
    def state_shown(self, invitation: Invitation) -> SafeString:
        looks = {"pending": "queued", "redeemed": "succeeded"}
        return chip(looks.get(invitation.state, invitation.state), invitation.state)

    @display(description="into")
    def into(self, invitation: Invitation) -> str | SafeString:
        return ", ".join(f"{place.team.slug} ({place.role})" for place in invitation.teams.all()) or NOTHING


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
