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
