"""Tokens: made by their owners, seen and ended here; and who tried to get in."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Count, Model, Q
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from typing_extensions import override

from apps.access.admin import GuardedAdmin, Question, Reasoned, RecordAdmin, question_filter
from apps.access.admin.display import NOTHING, chip, related, time_of
from apps.access.choices import ADMIN_SCOPE
from apps.accounts import services
from apps.accounts.choices import GUESSES, TokenKind
from apps.accounts.forms import TokenAddressesForm
from apps.accounts.models import ApiToken, LoginFailure, Registration, UserSession

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_WEEK, _LONG = timedelta(days=7), timedelta(days=90)


_TOKENS = question_filter(
    ApiToken,
    [
        Question("live", "Live", lambda rows: rows.live()),
        Question("forever", "Live and never expires", lambda rows: rows.live().filter(expires_at=None)),
        Question("unused", "Live and never used", lambda rows: rows.live().filter(last_used_at=None)),
        Question(
            "forgotten",
            "Live and unused for 90 days",
            lambda rows: rows.unused_since(timezone.now() - _LONG).exclude(kind=TokenKind.RUN),
        ),
        Question("service", "Live, of service accounts", lambda rows: rows.live().filter(kind=TokenKind.SERVICE)),
        Question("everywhere", "Live and usable from everywhere", lambda rows: rows.live().filter(addresses=[])),
        Question("ending", "Ends within 7 days", lambda rows: rows.live().filter(expires_at__lt=Now() + _WEEK)),
        Question("admin", "Live, with admin rights", lambda rows: rows.live().filter(scopes__contains=[ADMIN_SCOPE])),
    ],
)


@admin.register(ApiToken)
class ApiTokenAdmin(GuardedAdmin):
    """Tokens are made by their owners; here they are seen, without their secret, tied to networks, and ended."""

    can_change = True
    form = TokenAddressesForm

    list_display = ("name", "prefix", "user_shown", "kind", "state", "scopes_shown", "created", "expires", "used", "ip")
    list_filter = (_TOKENS, "kind")
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username", "=bound_to")
    search_help_text = "Name, first characters, person or a pasted id"
    ordering = ("-id",)
    readonly_fields = (
        "name", "prefix", "user_shown", "kind", "state", "scopes_shown", "addresses_shown", "bound_to", "created", "expires",
        "revoked", "used", "ip", "replaces_shown",
    )  # fmt: skip
    replaces_shown = related("replaces", "replaces")
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

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        ended = isinstance(obj, ApiToken) and not (obj.is_live and obj.kind != TokenKind.RUN)
        return not ended and super().has_change_permission(request, obj)

    @override
    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if not self.has_change_permission(request, obj):
            return [(None, {"fields": self.readonly_fields})]
        shown = [name for name in self.readonly_fields if name != "addresses_shown"]
        return [(None, {"fields": shown}), ("Usable from", {"fields": ["addresses", "reason"]})]

    @override
    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{**kwargs, "fields": []})  # the form has its own

    @override
    def save_model(self, request: HttpRequest, obj: ApiToken, form: TokenAddressesForm, change: bool) -> None:
        services.set_token_addresses(obj, form.networks(), by=request.user, reason=form.cleaned_data["reason"])

    @display(description="state")
    def state(self, token: ApiToken) -> SafeString:
        if token.is_live:
            return chip("live")
        return chip("expired" if token.revoked_at is None else "revoked")

    @display(description="scopes")
    def scopes_shown(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @display(description="usable from")
    def addresses_shown(self, token: ApiToken) -> str:
        return ", ".join(token.addresses) or "everywhere"

    @display(description="from", ordering="last_used_ip")
    def ip(self, token: ApiToken) -> str | SafeString:
        return token.last_used_ip or NOTHING


_SESSIONS = question_filter(
    UserSession,
    [
        Question("elevated", "Acting as admin", lambda rows: rows.filter(elevated_until__gt=Now())),
        Question("hour", "Began in the last hour", lambda rows: rows.filter(created_at__gt=Now() - _HOUR)),
        Question("idle", "Not used for a day", lambda rows: rows.filter(last_seen_at__lt=Now() - _DAY)),
    ],
)


@admin.register(UserSession)
class UserSessionAdmin(GuardedAdmin):
    """Where people are logged in. Ending one is a named action."""

    list_display = ("user_shown", "address", "user_agent", "created", "seen", "expires", "elevated")
    list_display_links = ("created",)
    list_filter = (_SESSIONS,)
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


def _guessed(rows: Any) -> Any:
    """Keep the failures of this hour that hit one name, or came from one address, often."""
    recent = rows.filter(at__gt=Now() - _HOUR)
    often = {
        field: recent.order_by().values(field).annotate(times=Count("pk")).filter(times__gte=GUESSES).values(field)
        for field in ("username", "ip")
    }
    return recent.filter(Q(username__in=often["username"]) | Q(ip__in=often["ip"]))


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

    list_display = ("username", "ip", "moment", "reason")
    list_filter = (_FAILURES,)
    search_fields = ("username", "=ip")
    ordering = ("-id",)
    fields = ("username", "ip", "moment", "reason")
    moment = time_of("at", "when")


_REGISTRATIONS = question_filter(
    Registration,
    [
        Question(
            "waiting",
            "Waiting for approval",
            lambda rows: rows.waiting(),
            "waiting for approval",
            "busy",
        ),
        Question(
            "long",
            "Waiting for more than a day",
            lambda rows: rows.waiting().filter(created_at__lt=Now() - _DAY),
        ),
        Question("approved", "Approved", lambda rows: rows.filter(decided_at__isnull=False, user__isnull=False)),
        Question("rejected", "Rejected", lambda rows: rows.filter(decided_at__isnull=False, user=None)),
    ],
)


@admin.register(Registration)
class RegistrationAdmin(GuardedAdmin):
    """People who ask for an account: an admin says yes or no, with a reason."""

    list_display = ("username", "email", "state_shown", "name_shown", "note", "created", "ip", "reason")
    list_filter = (_REGISTRATIONS,)
    search_fields = ("username", "email", "=ip")
    ordering = ("-id",)
    fields = (
        "username", "email", "name_shown", "note", "state_shown", "created", "ip", "decided", "decided_by_shown", "reason",
        "user_shown",
    )  # fmt: skip
    created = time_of("created_at", "asked")
    decided = time_of("decided_at", "decided")
    decided_by_shown = related("decided_by", "decided by")
    user_shown = related("user", "account")
    actions = (
        Reasoned(
            "approve",
            services.approve_registration,
            label="Approve",
            effect="The account is made, with the password that was chosen. It is in no team yet.",
            done="approved",
            applies=lambda registration: registration.decided_at is None,
        ),
        Reasoned(
            "reject",
            services.reject_registration,
            label="Reject",
            effect="No account is made, and the password is forgotten.",
            done="rejected",
            applies=lambda registration: registration.decided_at is None,
        ),
    )

    @display(description="state")
    def state_shown(self, registration: Registration) -> SafeString:
        looks = {"waiting": "queued", "approved": "active", "rejected": "revoked"}
        return chip(looks[registration.state], registration.state)

    @display(description="name")
    def name_shown(self, registration: Registration) -> str | SafeString:
        return f"{registration.first_name} {registration.last_name}".strip() or NOTHING
