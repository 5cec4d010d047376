from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings

from apps.teams.choices import SERVICE_ROLES, TeamRole


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, error_messages={"required": "Enter the person's user name."})
    role = forms.ChoiceField(choices=TeamRole.choices, initial=TeamRole.MEMBER)


class InviteForm(forms.Form):
    """A link into one team. The fields have ids of their own: other forms are on the page."""

    role = forms.ChoiceField(choices=TeamRole.choices, initial=TeamRole.MEMBER)
    days = forms.IntegerField(min_value=1, max_value=90)
    email = forms.EmailField(required=False)

    def __init__(self, data: Any = None) -> None:
        initial = {"days": max(1, settings.INVITATION_HOURS // 24)}
        super().__init__(data, auto_id="id_invite_%s", initial=initial)

    def lifetime(self) -> timedelta:
        return timedelta(days=self.cleaned_data["days"])


class ServiceAccountForm(forms.Form):
    name = forms.CharField(max_length=60, error_messages={"required": "Give it a name."})
    role = forms.ChoiceField(choices=SERVICE_ROLES, initial=TeamRole.MEMBER)

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="id_service_%s")


class ImportForm(forms.Form):
    """A file of people; or, the second time, the text that was looked at."""

    file = forms.FileField(required=False, widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}))
    text = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)

    def clean(self) -> dict[str, Any]:
        data = self.cleaned_data
        if not data.get("file") and not data.get("text"):
            self.add_error("file", "Choose a file.")
        return data

    def content(self) -> bytes:
        given = self.cleaned_data["file"]
        return bytes(given.read()) if given else str(self.cleaned_data["text"]).encode()
