from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from typing_extensions import override

from apps.access import policy
from apps.access.choices import ADMIN_SCOPE
from apps.access.forms import reason_field
from apps.accounts.choices import Assets, Belonging, Jobs
from apps.accounts.models import ApiToken
from apps.core.errors import Invalid

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[ApiToken]
else:
    ModelForm = forms.ModelForm

LIFETIMES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never expires")]
SCOPES = [("all", "Everything its user may do"), ("read", "Read only"), ("chosen", "Only what is chosen here")]
OVERLAPS = [("0", "at once"), ("1", "in 1 hour"), ("24", "in 1 day"), ("168", "in 7 days")]
_DAY_HOURS = 24
_ADMIN_NOTICE = (
    "One that may act as an admin lives {} hours at most. It goes on when your admin rights in this browser have ended:"
    " revoke it when you are done."
)
_BROAD = {"all", "read"}


class LoginForm(forms.Form):
    """Length and content are judged by the service, which never says which part was wrong."""

    username = forms.CharField(max_length=150, error_messages={"required": "Enter your name."})
    password = forms.CharField(
        max_length=4096, strip=False, widget=forms.PasswordInput, error_messages={"required": "Enter your password."}
    )


def _password(label: str, *, kind: str, required: bool = True) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": kind})
    return forms.CharField(max_length=4096, strip=False, widget=widget, label=label, required=required)


class NewPasswordForm(forms.Form):
    """A password, typed twice."""

    password = _password("New password", kind="new-password")
    again = _password("New password again", kind="new-password")
    repeated = "password"

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get(self.repeated, again):
            msg = "The two passwords differ."
            raise forms.ValidationError(msg)
        return again


class PasswordForm(NewPasswordForm):
    """One's own password: the present one, and another."""

    password = None  # type: ignore[assignment]  # Django's way to leave out a field of the base
    current_password = _password("Present password", kind="current-password")
    new_password = _password("New password", kind="new-password")
    end_tokens = forms.BooleanField(required=False, label="Revoke my access tokens too")
    repeated = "new_password"
    field_order = ("current_password", "new_password", "again", "end_tokens")


class CodeForm(forms.Form):
    """The password, where it is kept here, and a code."""

    password = _password("Password", kind="current-password", required=False)
    code = forms.CharField(
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "spellcheck": "false"}),
        error_messages={"required": "Enter a code."},
    )


class ElevationForm(forms.Form):
    """Who it is, again, and why; which of the first two are needed is the service's to say."""

    password = _password("Password", kind="current-password", required=False)
    code = forms.CharField(
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "spellcheck": "false"}),
    )
    reason = forms.CharField(
        max_length=500,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        error_messages={"required": "Say why."},
    )


class SetupForm(forms.Form):
    """The first admin."""

    username = forms.CharField(max_length=150)
    email = forms.EmailField(required=False)
    password = forms.CharField(max_length=4096, strip=False, widget=forms.PasswordInput)
    again = forms.CharField(max_length=4096, strip=False, widget=forms.PasswordInput, label="Password again")

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password", again):
            msg = "The two passwords differ."
            raise forms.ValidationError(msg)
        return again


class AccountForm(forms.Form):
    """A person who chooses a name and a password."""

    username = forms.CharField(max_length=150)
    email = forms.EmailField(required=False)
    first_name = forms.CharField(max_length=150, required=False)
    last_name = forms.CharField(max_length=150, required=False)
    password = forms.CharField(
        max_length=4096, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    again = forms.CharField(
        max_length=4096,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        label="Password again",
    )

    def clean_again(self) -> str:
        again: str = self.cleaned_data["again"]
        if again != self.cleaned_data.get("password", again):
            msg = "The two passwords differ."
            raise forms.ValidationError(msg)
        return again

    def facts(self) -> dict[str, str]:
        """Return what the services ask for."""
        return {name: value for name, value in self.cleaned_data.items() if name != "again"}


class RegistrationForm(AccountForm):
    note = forms.CharField(max_length=500, required=False, label="Why you need an account")


def _addresses(help_text: str = "") -> forms.CharField:
    look = {"rows": 2, "class": "mono", "placeholder": "192.0.2.0/24", "spellcheck": "false"}
    return forms.CharField(max_length=3000, required=False, widget=forms.Textarea(attrs=look), help_text=help_text)


class AddressesForm(forms.Form):
    """Networks, separated by anything; none is everywhere."""

    addresses = _addresses()

    def networks(self) -> list[str]:
        given: str = self.cleaned_data["addresses"]
        return given.replace(",", " ").split()


class TokenAddressesForm(AddressesForm, ModelForm):
    """The same of a token in the admin, with the reason."""

    addresses = _addresses(
        "Networks, separated by spaces or lines. None: from everywhere. Elsewhere it is refused at once.",
    )
    reason = reason_field(needed="Needed for a change.", size=60)

    class Meta:
        model = ApiToken
        exclude: ClassVar[list[str]] = ["addresses"]  # the service writes them; the row here is as it was

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["addresses"] = "\n".join(self.instance.addresses)

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "addresses" in self.changed_data and not data.get("reason"):
            self.add_error("reason", "Say why.")
        return data


class TokenForm(AddressesForm):
    name = forms.CharField(max_length=100, error_messages={"required": "Say what it is for."})
    scope = forms.ChoiceField(choices=SCOPES, initial="all")
    scopes = forms.MultipleChoiceField(required=False)
    expires_in_days = forms.ChoiceField(choices=LIFETIMES, required=False, initial="90")

    def __init__(self, *args: Any, for_admin: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        left_out = _BROAD if for_admin else {*_BROAD, ADMIN_SCOPE}
        single = [scope for scope in policy.all_scopes() if scope not in left_out]
        self.fields["scopes"] = forms.MultipleChoiceField(required=False, choices=[(name, name) for name in single])
        hours = settings.ADMIN_TOKEN_HOURS if for_admin else 0
        self.admin_notice = _ADMIN_NOTICE.format(hours) if hours else ""
        if hours >= _DAY_HOURS:  # the shortest of the others is too long
            self.fields["expires_in_days"] = forms.ChoiceField(choices=[("1", "1 day"), *LIFETIMES], required=False)

    def groups(self) -> list[tuple[str, list[tuple[str, str, bool]]]]:
        """List the single scopes by what they are about: value, action, and whether it is chosen."""
        chosen = set(self["scopes"].value() or [])
        found: dict[str, list[tuple[str, str, bool]]] = {}
        for scope, _ in self.fields["scopes"].choices:  # type: ignore[attr-defined]  # set above
            about, _, action = scope.partition(":")
            found.setdefault(about, []).append((scope, action.replace("_", " ") or "act as an admin", scope in chosen))
        return sorted(found.items())

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if data.get("scope") == "chosen" and not data.get("scopes"):
            self.add_error("scope", "Choose at least one thing it may do.")
        elif data.get("scope") in _BROAD and data.get("scopes"):
            self.add_error("scope", "Single things are chosen below: say “only what is chosen”, or choose none.")
        return data

    def facts(self) -> dict[str, Any]:
        """Return what the service asks for."""
        data = self.cleaned_data
        days = data["expires_in_days"]
        return {
            "name": data["name"],
            "scopes": data["scopes"] if data["scope"] == "chosen" else [data["scope"]],
            "expires_in": timedelta(days=int(days)) if days else None,
            "addresses": self.networks(),
        }


class RotationForm(forms.Form):
    overlap = forms.ChoiceField(choices=OVERLAPS, initial="24")

    def span(self) -> timedelta:
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class OffboardingForm(forms.Form):
    """By which policy somebody leaves."""

    assets = forms.ChoiceField(choices=Assets.choices, initial=Assets.KEEP, widget=forms.RadioSelect)
    transfer_to = forms.CharField(
        max_length=150,
        required=False,
        label="Transfer to",
        help_text="A user name; he gets all of it. Empty: what a team can see goes to a maintainer of that team.",
    )
    jobs = forms.ChoiceField(choices=Jobs.choices, initial=Jobs.STOP, widget=forms.RadioSelect, label="Running jobs")
    memberships = forms.ChoiceField(choices=Belonging.choices, initial=Belonging.KEEP, widget=forms.RadioSelect)
    reason = reason_field()

    def nobody(self) -> Invalid:
        """Return the refusal of an heir who does not exist."""
        return Invalid(errors={"transfer_to": ["There is nobody of this name."]})


def take_over(form: forms.Form, errors: Any) -> None:
    """Show a service's sentences beside the form's fields; what belongs to none stands above the form."""
    for field, sentences in errors.items():
        form.add_error(field if field in form.fields else None, sentences)
