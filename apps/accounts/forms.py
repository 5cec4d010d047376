from typing import Any

from django import forms

LIFETIMES = [("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Never expires")]
SCOPES = [("all", "Everything I may do"), ("read", "Read only")]


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


class TokenForm(forms.Form):
    name = forms.CharField(max_length=100, error_messages={"required": "Say what it is for."})
    scope = forms.ChoiceField(choices=SCOPES, initial="all")
    expires_in_days = forms.ChoiceField(choices=LIFETIMES, required=False, initial="90")

    def days(self) -> int | None:
        value = self.cleaned_data["expires_in_days"]
        return int(value) if value else None


def take_over(form: forms.Form, errors: Any) -> None:
    """Show a service's sentences beside the form's fields; what belongs to none stands above the form."""
    for field, sentences in errors.items():
        form.add_error(field if field in form.fields else None, sentences)
