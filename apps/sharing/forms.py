from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone

from apps.access.choices import Visibility
from apps.sharing.choices import ShareRole, SubjectKind

KEEP = "keep"
LIFETIMES = [
    ("", "Never expires"), ("1", "1 day"), ("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"),
]  # fmt: skip


class ShareForm(forms.Form):
    """With whom, as what, for how long."""

    kind = forms.ChoiceField(choices=SubjectKind.choices, initial=SubjectKind.USER)
    name = forms.CharField(
        max_length=150,
        error_messages={"required": "Enter a user name, or the short name of a team or an organization."},
    )
    role = forms.ChoiceField(choices=ShareRole.choices, initial=ShareRole.VIEWER)
    expires = forms.ChoiceField(choices=[*LIFETIMES, (KEEP, "As it is")], required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["name"].widget.attrs |= {"autocomplete": "off", "spellcheck": "false"}

    def expires_at(self, before: datetime | None) -> datetime | None:
        """Return when it ends; `before` is when the share that exists does."""
        chosen = self.cleaned_data["expires"]
        if chosen == KEEP:
            return before
        return timezone.now() + timedelta(days=int(chosen)) if chosen else None


class VisibilityForm(forms.Form):
    visibility = forms.ChoiceField(choices=Visibility.choices)


class OwnerForm(forms.Form):
    to = forms.CharField(max_length=150, error_messages={"required": "Enter the person's user name."})


class AskForm(forms.Form):
    role = forms.ChoiceField(choices=ShareRole.choices, initial=ShareRole.VIEWER)
    message = forms.CharField(
        max_length=500, required=False, widget=forms.Textarea(attrs={"rows": 3}), label="What you need it for"
    )


class DecisionForm(forms.Form):
    """`granted` is the button that was pressed, if it was that one."""

    granted = forms.CharField(required=False)
    role = forms.ChoiceField(choices=ShareRole.choices, required=False)
    note = forms.CharField(max_length=500, required=False)


def take_over(form: forms.Form, errors: Any, **renamed: str) -> None:
    """Show a service's sentences beside the form's fields; what belongs to none stands above the form."""
    for field, sentences in errors.items():
        name = renamed.get(field, field)
        form.add_error(name if name in form.fields else None, sentences)
