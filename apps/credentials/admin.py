"""Credentials for operators: stored, replaced and revoked here; their values are written and never shown."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.admin import display
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters
from typing_extensions import override

from apps.access.admin import GuardedAdmin, LatestInline, Question, Reasoned, question_filter
from apps.access.admin.display import chip, lines, owner_of, related, time_of
from apps.access.admin.filters import is_null, one_of
from apps.core.errors import Invalid
from apps.credentials import services
from apps.credentials.choices import Kind
from apps.credentials.forms import VALUE_PREFIX, form_field, values_of
from apps.credentials.kinds import KINDS, field_of
from apps.credentials.models import Credential, CredentialUse

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Credential]
else:
    ModelForm = forms.ModelForm

_EDITED = ("name", "description", "visibility", "expires_at")
_KINDS = one_of("kind", list(Kind.choices))
_DELETED = is_null("archived_at", yes="In use", no="Deleted", title="archive")
_WEEK, _LONG = timedelta(days=7), timedelta(days=365)
_QUESTIONS = question_filter(
    Credential,
    [
        Question("expired", "Expired", lambda rows: rows.live().filter(expires_at__lte=Now())),
        Question(
            "ending", "Ends within 7 days", lambda rows: rows.live().filter(expires_at__range=(Now(), Now() + _WEEK))
        ),
        Question("unused", "Never used", lambda rows: rows.live().filter(last_used_at=None)),
        Question("old", "Not replaced for a year", lambda rows: rows.live().filter(replaced_at__lt=Now() - _LONG)),
        Question("gone", "Its owner is disabled", lambda rows: rows.live().filter(owner__is_active=False)),
    ],
)


class CredentialForm(ModelForm):
    """The columns, and the fields of the kind. On a stored credential the secret ones are empty: left so, it is kept."""

    kind = ""

    class Meta:
        model = Credential
        fields: ClassVar[list[str]] = ["name", "description", "owner", "team", "visibility", "expires_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_stored = not self.instance._state.adding  # noqa: SLF001 -- documented Django API
        for field in KINDS[self.kind]:
            made = form_field(field)
            made.required = made.required and not is_stored
            if is_stored and field.secret:
                made.help_text = "Set. Leave empty to keep it; what is written here replaces the whole value."
            elif is_stored:
                made.initial = self.instance.public.get(field.name, "")
            self.fields[VALUE_PREFIX + field.name] = made

    @property
    def is_replacing(self) -> bool:
        """Whether anything of the value was written."""
        return any(name.startswith(VALUE_PREFIX) for name in self.changed_data)


class UseInline(LatestInline):
    model = CredentialUse
    fields = ("subject", "attempt_no", "alias", "version", "user", "at")
    ordering = ("-pk",)
    verbose_name_plural = "newest uses"
    show_change_link = False


@admin.register(Credential)
class CredentialAdmin(GuardedAdmin):
    can_add = True
    can_change = True
    list_display = ("name", "kind_shown", "state", "whose", "fingerprint", "version", "replaced", "used", "expires")
    list_filter = (_QUESTIONS, _KINDS, _DELETED, "visibility")
    search_fields = ("name", "description", "owner__username", "team__name")
    ordering = ("-pk",)
    autocomplete_fields = ("owner", "team")
    inlines = (UseInline,)
    kind_shown = display(description="kind", ordering="kind")(lambda _page, row: row.get_kind_display())
    whose = owner_of("owner", "team")
    owner_shown = related("owner")
    team_shown = related("team")
    created_by_shown = related("created_by", "stored by")
    created = time_of("created_at", "stored")
    replaced = time_of("replaced_at", "replaced")
    used = time_of("last_used_at", "last used")
    expires = time_of("expires_at", "expires")
    actions = (
        Reasoned(
            "revoke",
            services.delete_credential,
            label="Revoke",
            effect="The value is destroyed at once. Jobs that run keep what they were given; what waits with it will fail.",
            done="revoked",
            applies=lambda credential: credential.archived_at is None,
        ),
    )

    @override
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).select_related("owner", "team", "created_by")
        return rows

    @override
    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        is_deleted = isinstance(obj, Credential) and obj.archived_at is not None
        return not is_deleted and super().has_change_permission(request, obj)

    @override
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the kind first: the form depends on it."""
        if request.GET.get("kind") not in Kind.values and self.has_add_permission(request):
            context = {
                **self.admin_site.each_context(request),
                "title": "Store a credential",
                "opts": self.opts,
                "kinds": Kind.choices,
            }
            return TemplateResponse(request, "admin/credentials/credential/choose_kind.html", context)
        return super().add_view(request, form_url, extra_context)

    @method_decorator(sensitive_post_parameters())
    @override
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return super().changeform_view(request, *args, **kwargs)

    @override
    def get_form(self, request: HttpRequest, obj: Credential | None = None, change: bool = False, **kwargs: Any) -> Any:
        names = list(_EDITED) if obj else ["name", "owner", "team", "description", "visibility", "expires_at"]
        base = type("KindForm", (CredentialForm,), {"kind": _kind(request, obj)})
        return super().get_form(request, obj, change, **{**kwargs, "form": base, "fields": names})

    @override
    def get_fieldsets(self, request: HttpRequest, obj: Credential | None = None) -> Any:
        own = ["name", "owner_shown", "team_shown"] if obj else ["name", "owner", "team"]
        about: list[Any] = [("Credential", {"fields": [*own, "description", "visibility", "expires_at"]})]
        if obj:
            shown = ["kind_shown", "state", "public_shown", "fingerprint", "version", "created_by_shown", "created"]
            about.append(("As it is", {"fields": [*shown, "replaced", "used"]}))
        if obj is None or self.has_change_permission(request, obj):
            fields = [VALUE_PREFIX + field.name for field in KINDS[_kind(request, obj)]]
            about.append(("Value", {"fields": fields}))
        return about

    @override
    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (
            "owner_shown", "team_shown", "kind_shown", "state", "public_shown", "fingerprint", "version",
            "created_by_shown", "created", "replaced", "used",
        )  # fmt: skip

    @override
    def save_model(self, request: HttpRequest, obj: Credential, form: Any, change: bool) -> None:
        given = form.cleaned_data
        try:
            if change:
                changes = {name: given[name] for name in form.changed_data if name in _EDITED}
                if changes:
                    services.update_credential(obj, by=request.user, **changes)
                if form.is_replacing:
                    services.replace_credential(obj, values_of(form.kind, given), by=request.user)
                return
            details = {name: given[name] for name in _EDITED if name != "name"}
            place = {"owner": given["owner"], "team": given["team"]}
            values = values_of(form.kind, given)
            made = services.create_credential(given["name"], form.kind, values, by=request.user, **place, **details)
        except Invalid as refusal:
            raise Invalid(errors=_by_field(refusal)) from refusal
        obj.pk = made.pk

    @display(description="state")
    def state(self, credential: Credential) -> SafeString:
        if credential.archived_at is not None:
            return chip("archived", "revoked")
        return chip("expired") if credential.is_expired else chip("live")

    @display(description="fields that are no secret")
    def public_shown(self, credential: Credential) -> SafeString:
        return lines(
            f"{field_of(credential.kind, name).label}: {text[:300]}" for name, text in credential.public.items()
        )


def _kind(request: HttpRequest, obj: Credential | None) -> str:
    return obj.kind if obj is not None else request.GET.get("kind", Kind.GENERIC)


def _by_field(refusal: Invalid) -> dict[str, list[str]]:
    return {
        path.replace("values.", VALUE_PREFIX) if path.startswith("values.") else path: sentences
        for path, sentences in refusal.errors.items()
    }
