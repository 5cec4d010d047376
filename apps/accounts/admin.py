"""People, their tokens, and who tried to get in."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import display
from django.contrib.auth.models import Group
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import rotate_token
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Panel, Question, Reasoned, RecordAdmin, panel, question_filter
from apps.access.admin.display import NOTHING, chip, link, list_url, page_of, related, time_of, when
from apps.access.admin.panels import ROWS
from apps.access.choices import ADMIN_SCOPE
from apps.accounts import seeing, services
from apps.accounts.choices import GUESSES, PlatformRole, TokenKind
from apps.accounts.models import ApiToken, LoginFailure, User
from apps.core.errors import DomainError

if TYPE_CHECKING:
    UserForm = forms.ModelForm[User]
else:
    UserForm = forms.ModelForm

admin.site.unregister(Group)  # a group mirrors a team, and permissions are roles: both have one writer


class NewUserForm(UserForm):
    """A person to be. The password is judged by the service."""

    password = forms.CharField(
        required=False,
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"}),
        help_text="Leave empty for an account that only uses tokens until a password is set.",
    )
    is_admin = forms.BooleanField(
        required=False, label="Operator", help_text="May do everything, everywhere, and uses this admin."
    )

    class Meta:
        model = User
        fields: ClassVar[list[str]] = ["username", "email"]


class SeeAs(Reasoned):
    """Looks at the portal as one person; what it leads to is this session, not a row."""

    most = 1

    @override
    def _carry_out(self, page: Any, request: HttpRequest, rows: list[Any], reason: str) -> HttpResponse:
        try:
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
        Question("never", "Never logged in", lambda rows: rows.filter(_person, is_active=True, last_login=None)),
        Question("away", "Away for 90 days", lambda rows: rows.filter(is_active=True, last_login__lt=Now() - _LONG)),
        Question("alone", "In no team", lambda rows: rows.filter(_person, is_active=True, groups=None)),
        Question("admins", "Admins", lambda rows: rows.filter(platform_role=PlatformRole.ADMIN)),
        Question("auditors", "Auditors", lambda rows: rows.filter(platform_role=PlatformRole.AUDITOR)),
        Question("services", "Service accounts", lambda rows: rows.filter(service_of__isnull=False)),
        Question("disabled", "Disabled", lambda rows: rows.filter(is_active=False)),
    ],
)


@admin.register(User)
class UserAdmin(GuardedAdmin):
    """Created here; shut out and let in again by named actions. Passwords are set, never shown."""

    can_add = True
    list_display = ("username", "email", "state", "groups_shown", "tokens", "last_login_shown", "joined")
    list_filter = (_PEOPLE, "is_active", "platform_role")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    joined = time_of("date_joined", "joined")
    last_login_shown = time_of("last_login", "last login")
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
            effect="No login, no session, no token any more; personal tokens end for good. What runs goes on.",
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
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A join would count the tokens of everybody; this counts those of the people on the page.
        tokens = ApiToken.objects.visible_to(request.user, "view").live().filter(user=OuterRef("pk"))
        personal = tokens.filter(kind=TokenKind.PERSONAL).order_by().values("user")
        counted = Coalesce(Subquery(personal.annotate(number=Count("pk")).values("number")), 0)
        rows: QuerySet[Any] = super().get_queryset(request).prefetch_related("groups").annotate(live_tokens=counted)
        return rows

    @override
    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewUserForm
        return super().get_form(request, obj, change, **kwargs)

    @override
    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ["username", "email", "password", "is_admin"]})]
        shown = ["username", "email", "state", "password_kind", "groups_shown", "tokens", "last_login_shown", "joined"]
        return [(None, {"fields": shown})]

    @override
    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        data = form.cleaned_data
        made = services.create_user(
            data["username"],
            by=request.user,
            email=data["email"],
            password=data["password"] or None,
            is_admin=data["is_admin"],
        )
        obj.pk = made.pk

    @display(description="state", ordering="is_active")
    def state(self, user: User) -> SafeString:
        if not user.is_active:
            return chip("disabled")
        return chip("admin", user.platform_role) if user.platform_role else chip("active")

    @display(description="teams")
    def groups_shown(self, user: User) -> str | SafeString:
        names = sorted(group.name for group in user.groups.all())
        return ", ".join(name.removeprefix("team:") for name in names if name.startswith("team:")) or NOTHING

    @display(description="live tokens", ordering="live_tokens")
    def tokens(self, user: Any) -> SafeString:
        return link(list_url("accounts.apitoken", user__id__exact=user.pk), user.live_tokens)

    @display(description="password")
    def password_kind(self, user: User) -> str:
        return "set" if user.has_usable_password() else "none: only tokens"


_TOKENS = question_filter(
    ApiToken,
    [
        Question("live", "Live", lambda rows: rows.live()),
        Question("forever", "Live and never expires", lambda rows: rows.live().filter(expires_at=None)),
        Question("unused", "Live and never used", lambda rows: rows.live().filter(last_used_at=None)),
        Question(
            "stale", "Live, not used for 90 days", lambda rows: rows.live().filter(last_used_at__lt=Now() - _LONG)
        ),
        Question("ending", "Ends within 7 days", lambda rows: rows.live().filter(expires_at__lt=Now() + _WEEK)),
        Question("admin", "Live, with admin rights", lambda rows: rows.live().filter(scopes__contains=[ADMIN_SCOPE])),
    ],
)


@admin.register(ApiToken)
class ApiTokenAdmin(GuardedAdmin):
    """Tokens are made by their owners; here they are seen, without their secret, and ended."""

    list_display = ("name", "prefix", "user_shown", "kind", "state", "scopes_shown", "created", "expires", "used", "ip")
    list_filter = (_TOKENS, "kind")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "=bound_to")
    search_help_text = "Name, first characters, person or a pasted id"
    ordering = ("-id",)
    fields = (
        "name", "prefix", "user_shown", "kind", "state", "scopes_shown", "bound_to", "created", "expires", "revoked", "used",
        "ip",
    )  # fmt: skip
    user_shown = related("user")
    created = time_of("created_at", "created")
    expires = time_of("expires_at", "expires")
    revoked = time_of("revoked_at", "revoked")
    used = time_of("last_used_at", "last used")
    actions = (
        Reasoned(
            "revoke",
            services.revoke_token,
            label="Revoke",
            effect="The token ends at once and for good. Whoever uses it is refused from the next request on.",
            done="revoked",
            applies=lambda token: token.revoked_at is None,
        ),
    )

    @display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        if token.is_live:
            return chip("live")
        return chip("expired" if token.revoked_at is None else "revoked")

    @display(description="scopes")
    def scopes_shown(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @display(description="from", ordering="last_used_ip")
    def ip(self, token: ApiToken) -> str | SafeString:
        return token.last_used_ip or NOTHING


def _guessed(rows: Any) -> Any:
    """Keep the failures of this hour that hit one name, or came from one address, often."""
    recent = rows.filter(at__gt=Now() - _HOUR)
    often = {
        field: recent.order_by().values(field).annotate(times=Count("pk")).filter(times__gte=GUESSES).values(field)
        for field in ("username", "ip")
    }
    return recent.filter(Q(username__in=often["username"]) | Q(ip__in=often["ip"]))


_HOUR = timedelta(hours=1)
_FAILURES = question_filter(
    LoginFailure,
    [
        Question("hour", "This hour", lambda rows: rows.filter(at__gt=Now() - _HOUR), "failed logins this hour"),
        Question("guessed", "Guessing, this hour", _guessed, "failed logins by guessing", "bad"),
    ],
    is_record=True,
)


@admin.register(LoginFailure)
class LoginFailureAdmin(RecordAdmin):
    """Failed passwords of the last day: who guesses, and from where."""

    list_display = ("username", "ip", "moment")
    list_filter = (_FAILURES,)
    search_fields = ("username", "=ip")
    ordering = ("-id",)
    fields = ("username", "ip", "moment")
    moment = time_of("at", "when")


@panel("accounts.user")
def _tokens_of(user: User, by: Any) -> Panel:
    rows = ApiToken.objects.visible_to(by, "view").live().filter(user=user).order_by("-created_at")[:ROWS]
    cells = [(page_of(row, row.name), row.kind, when(row.expires_at), when(row.last_used_at)) for row in rows]
    url = list_url("accounts.apitoken", user__id__exact=user.pk, question="live")
    return Panel("Live tokens", ("Token", "Kind", "Ends", "Last used"), cells, url, "No token works.")
