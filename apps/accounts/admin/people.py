"""People: made one by one, changed, shut out, let in again, and off-boarded."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, Reasoned, ReasonForm, ShownOnce, panel, question_filter
from apps.access.admin.display import NOTHING, chip, link, list_url, page_of, related, time_of, when
from apps.access.admin.guarded import may_operate
from apps.access.admin.panels import ROWS
from apps.accounts import seeing, services
from apps.accounts.choices import IdentitySource, PlatformRole, TokenKind
from apps.accounts.forms import OffboardingForm, take_over
from apps.accounts.models import ApiToken, User
from apps.core.errors import DomainError

if TYPE_CHECKING:
    UserForm = forms.ModelForm[User]
else:
    UserForm = forms.ModelForm

admin.site.unregister(Group)  # a group mirrors a team, and permissions are roles: both have one writer

_EDITED = ("username", "email", "first_name", "last_name")


class NewUserForm(UserForm):
    """A person to be. The password is judged by the service."""

    password = forms.CharField(
        required=False,
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Leave empty for an account that only uses tokens, or is opened by an invitation link.",
    )

    class Meta:
        model = User
        fields: ClassVar[list[str]] = [*_EDITED, "platform_role"]


class UserChangeForm(UserForm):
    """What an admin changes of a person; another platform role needs a reason."""

    reason = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off", "size": 80}),
        help_text="Written to the audit trail; required for another platform role.",
    )

    class Meta:
        model = User
        fields: ClassVar[list[str]] = [*_EDITED, "platform_role"]

    def clean(self) -> dict[str, Any] | None:
        if "platform_role" in self.changed_data and not self.cleaned_data.get("reason", "").strip():
            self.add_error("reason", "Say why the platform role changes.")
        return self.cleaned_data


class SeeAs(Reasoned):
    """Looks at the portal as one person; what it leads to is this session, not a row."""

    most = 1

    @override
    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], form: ReasonForm) -> HttpResponse:
        try:
            reason = form.cleaned_data["reason"]
            until = services.begin_seeing(rows[0], by=request.user, reason=reason)
        except DomainError as error:
            messages.error(request, f"{rows[0]}: {error.detail}")
            return redirect(request.get_full_path())
        seeing.begin(request.session, rows[0], until)
        request.session.cycle_key()
        rotate_token(request)
        return redirect("home")


_person = Q(service_of=None)
_WEEK, _LONG = timedelta(days=7), timedelta(days=90)
_PEOPLE = question_filter(
    User,
    [
        Question("people", "People", lambda rows: rows.filter(_person)),
        Question("never", "Never logged in", lambda rows: rows.filter(_person, is_active=True, last_login=None)),
        Question("away", "Away for 90 days", lambda rows: rows.filter(is_active=True, last_login__lt=Now() - _LONG)),
        Question("alone", "In no team", lambda rows: rows.filter(_person, is_active=True).in_no_team()),
        Question("admins", "Admins", lambda rows: rows.filter(platform_role=PlatformRole.ADMIN)),
        Question("auditors", "Auditors", lambda rows: rows.filter(platform_role=PlatformRole.AUDITOR)),
        Question("services", "Service accounts", lambda rows: rows.filter(service_of__isnull=False)),
        Question("disabled", "Disabled", lambda rows: rows.filter(is_active=False)),
    ],
)


def _reset_link(user: User, *, by: Any, reason: str) -> str:
    return settings.FATHOM_URL + services.issue_reset_link(user, by=by, reason=reason)


@admin.register(User)
class UserAdmin(GuardedAdmin):
    """Created here or imported; changed; shut out and let in again by named actions. Passwords are set, never shown."""

    can_add = True
    can_change = True
    policy_change = "manage"
    list_display = ("username", "email", "state", "groups_shown", "tokens", "last_login_shown", "joined")
    list_filter = (_PEOPLE, "platform_role", "identity_source")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    joined = time_of("date_joined", "joined")
    last_login_shown = time_of("last_login", "last login")
    service_team = related("service_of", "service account of")
    actions = (
        SeeAs(
            "see_as",
            services.begin_seeing,
            label="See as",
            effect="Shows you the portal as this person sees it, for 15 minutes at most: reading only, with a banner on "
            "every page. Nothing of it is hidden: beginning and end are in the audit trail.",
            done="seen",
            applies=lambda user: user.is_active and not user.platform_role and user.service_of_id is None,
        ),
        Reasoned(
            "disable",
            services.disable_user,
            label="Disable",
            effect="No login, no session, no token any more; tokens end for good. Jobs that wait are cancelled, jobs that run "
            "are stopped. Assets and memberships stay. For anything else use “Off-board”.",
            done="disabled",
            applies=lambda user: user.is_active,
        ),
        Reasoned(
            "enable",
            services.enable_user,
            label="Enable again",
            effect="The same password works again. Ended tokens stay ended.",
            done="enabled",
            applies=lambda user: not user.is_active,
        ),
        ShownOnce(
            "reset_link",
            _reset_link,
            label="Password reset link",
            effect="A link by which the person sets a new password, once. You pass it on; earlier links end.",
            done="can set a new password",
            applies=lambda user: user.is_active,
        ),
        Reasoned(
            "reset_second_factor",
            services.reset_second_factor,
            label="Reset second factor",
            effect="Codes are no longer asked for, until a new generator is set up. Be sure that it is the person who asks.",
            done="without a second factor",
        ),
    )

    @override
    def get_urls(self) -> list[URLPattern]:
        page = self.own_page(self.offboard_view)
        own = path("<path:object_id>/offboard/", page, name="accounts_user_offboard")
        return [own, *super().get_urls()]

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A join would count the tokens of everybody; this counts those of the people on the page.
        tokens = ApiToken.objects.visible_to(request.user, "view").live().filter(user=OuterRef("pk"))
        lasting = tokens.exclude(kind=TokenKind.RUN).order_by().values("user")
        counted = Coalesce(Subquery(lasting.annotate(number=Count("pk")).values("number")), 0)
        rows: QuerySet[Any] = super().get_queryset(request).prefetch_related("groups").annotate(live_tokens=counted)
        return rows.select_related("service_of")

    @override
    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewUserForm
        elif self.has_change_permission(request, obj):
            kwargs["form"] = UserChangeForm
        return super().get_form(request, obj, change, **kwargs)

    @override
    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": [*_EDITED, "password", "platform_role"]})]
        edited = [*_EDITED, "platform_role"] + (["reason"] if self.has_change_permission(request, obj) else [])
        shown = [
            "state", "service_team", "identity_source", "external_id", "password_kind", "groups_shown", "tokens", "last_login_shown", "joined",
        ]  # fmt: skip
        return [(None, {"fields": edited}), ("How it is", {"fields": shown})]

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return ()
        return (
            "state", "service_team", "identity_source", "external_id", "password_kind", "groups_shown", "tokens", "last_login_shown", "joined",
        )  # fmt: skip

    @override
    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        data = form.cleaned_data
        facts = {name: data[name] for name in _EDITED}
        if not change:
            role, password = data["platform_role"], data["password"] or None
            made = services.create_user(by=request.user, platform_role=role, password=password, **facts)
            obj.pk = made.pk
            return
        if "platform_role" in form.changed_data:
            services.set_platform_role(obj, data["platform_role"], by=request.user, reason=data["reason"])
        services.update_user(obj, by=request.user, reason=data["reason"], **facts)

    @override
    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        obj = context.get("original")
        if obj is not None and may_operate(request):
            context["page_links"] = [(reverse("admin:accounts_user_offboard", args=[obj.pk]), "Off-board…")]
        return super().render_change_form(request, context, *args, **kwargs)

    def offboard_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask by which policy somebody leaves; show what that would do, with numbers; then do it."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        form = OffboardingForm(request.POST if request.method == "POST" else None)
        effects = None
        if request.method == "POST" and form.is_valid():
            confirmed = "_confirmed" in request.POST
            try:
                told = {**form.cleaned_data, "transfer_to": self._heir(request, form)}
                effects = services.offboard_user(user, by=request.user, dry_run=not confirmed, **told)
            except DomainError as refusal:
                take_over(form, getattr(refusal, "errors", None) or {"": [refusal.detail]})
            else:
                if confirmed:
                    messages.success(request, f"{user} is off-boarded.")
                    return redirect("admin:accounts_user_change", user.pk)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Off-board {user}",
            "opts": self.opts,
            "original": user,
            "form": form,
            "effects": effects,
        }
        return TemplateResponse(request, "admin/accounts/user/offboard.html", context)

    def _heir(self, request: HttpRequest, form: OffboardingForm) -> User | None:
        name = form.cleaned_data["transfer_to"]
        if not name:
            return None
        heir: User | None = User.objects.visible_to(request.user, "view").filter(username=name).first()
        if heir is None:
            raise form.nobody()
        return heir

    @display(description="state", ordering="is_active")
    def state(self, user: User) -> SafeString:
        if not user.is_active:
            return chip("disabled")
        if user.service_of_id is not None:
            return chip("active", "service")
        return chip("admin", PlatformRole(user.platform_role).label) if user.platform_role else chip("active")

    @display(description="teams")
    def groups_shown(self, user: User) -> str | SafeString:
        names = [group.name for group in user.groups.all()]
        return ", ".join(name.removeprefix("team:") for name in names if name.startswith("team:")) or NOTHING

    @display(description="live tokens", ordering="live_tokens")
    def tokens(self, user: Any) -> SafeString:
        return link(list_url("accounts.apitoken", user__id__exact=user.pk), user.live_tokens)

    @display(description="password")
    def password_kind(self, user: User) -> str:
        if user.identity_source != IdentitySource.LOCAL:
            return "the directory's"
        return "set" if user.has_usable_password() else "none: only tokens"


@panel("accounts.user")
def _tokens_of(user: User, by: Any) -> Panel:
    rows = ApiToken.objects.visible_to(by, "view").live().filter(user=user).order_by("-created_at")[:ROWS]
    cells = [
        (page_of(row, row.name), row.get_kind_display(), when(row.expires_at), when(row.last_used_at)) for row in rows
    ]
    url = list_url("accounts.apitoken", user__id__exact=user.pk, question="live")
    return Panel("Live tokens", ("Token", "Kind", "Ends", "Last used"), cells, url, "No token works.")
