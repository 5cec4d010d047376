"""People, their tokens, and who tried to get in."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin import display
from django.contrib.auth.models import Group
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Reasoned, RecordAdmin, ShownOnce
from apps.access.admin.display import NOTHING, chip, link, list_url, related, time_of
from apps.accounts import services
from apps.accounts.choices import TokenKind
from apps.accounts.models import ApiToken, LoginFailure, User, UserSession

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


def _reset_link(user: User, *, by: Any, reason: str) -> str:
    return settings.FATHOM_URL + services.issue_reset_link(user, by=by, reason=reason)


@admin.register(User)
class UserAdmin(GuardedAdmin):
    """Created here; shut out and let in again by named actions. Passwords are set, never shown."""

    can_add = True
    list_display = ("username", "email", "state", "groups_shown", "tokens", "last_login_shown", "joined")
    list_filter = ("is_active", "platform_role")
    search_fields = ("username", "email", "first_name", "last_name")
    ordering = ("username",)
    joined = time_of("date_joined", "joined")
    last_login_shown = time_of("last_login", "last login")
    actions = (
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
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        live = Q(api_tokens__revoked_at=None) & (Q(api_tokens__expires_at=None) | Q(api_tokens__expires_at__gt=Now()))
        counted = Count("api_tokens", filter=live & Q(api_tokens__kind=TokenKind.PERSONAL))
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
        return ", ".join(group.name.removeprefix("team:") for group in user.groups.all()) or NOTHING

    @display(description="live tokens", ordering="live_tokens")
    def tokens(self, user: Any) -> SafeString:
        return link(list_url("accounts.apitoken", user__id__exact=user.pk), user.live_tokens)

    @display(description="password")
    def password_kind(self, user: User) -> str:
        return "set" if user.has_usable_password() else "none: only tokens"


class TokenQuestionFilter(admin.SimpleListFilter):
    title = "question"
    parameter_name = "question"

    @override
    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("live", "Live"), ("forever", "Live and never expires"), ("unused", "Live and never used")]

    @override
    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        narrowed: dict[str, dict[str, None]] = {
            "live": {},
            "forever": {"expires_at": None},
            "unused": {"last_used_at": None},
        }
        asked = self.value()
        return queryset.live().filter(**narrowed[asked]) if asked in narrowed else queryset


@admin.register(ApiToken)
class ApiTokenAdmin(GuardedAdmin):
    """Tokens are made by their owners; here they are seen, without their secret, and ended."""

    list_display = ("name", "prefix", "user_shown", "kind", "state", "scopes_shown", "created", "expires", "used", "ip")
    list_filter = (TokenQuestionFilter, "kind")
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


@admin.register(UserSession)
class UserSessionAdmin(GuardedAdmin):
    """Where people are logged in. Ending one is a named action."""

    list_display = ("user_shown", "address", "user_agent", "created", "seen", "expires", "elevated")
    list_select_related = ("user",)
    search_fields = ("user__username", "=ip")
    search_help_text = "Person or address"
    ordering = ("-last_seen_at",)
    fields = ("user_shown", "address", "user_agent", "created", "seen", "expires", "elevated")
    user_shown = related("user")
    created = time_of("created_at", "began")
    seen = time_of("last_seen_at", "last used")
    expires = time_of("expires_at", "ends")
    elevated = time_of("elevated_until", "acts as admin until")
    actions = (
        Reasoned(
            "end",
            services.end_session,
            label="End",
            effect="The browser is logged out at once; what it has open ends within five seconds.",
            done="ended",
        ),
    )

    @display(description="address", ordering="ip")
    def address(self, session: UserSession) -> str | SafeString:
        return session.ip or NOTHING


@admin.register(LoginFailure)
class LoginFailureAdmin(RecordAdmin):
    """Failed passwords of the last day: who guesses, and from where."""

    list_display = ("username", "ip", "moment")
    search_fields = ("username", "=ip")
    ordering = ("-id",)
    fields = ("username", "ip", "moment")
    moment = time_of("at", "when")
