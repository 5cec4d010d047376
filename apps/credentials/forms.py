"""Forms into which secrets are typed. None of them ever shows one, not even one that was just typed."""

import base64
from collections.abc import Mapping
from typing import Any

from django import forms
from typing_extensions import override

from apps.access.choices import Visibility
from apps.core.errors import Invalid
from apps.credentials.kinds import KINDS, MOST_BYTES, Field
from apps.teams.models import Team

VALUE_PREFIX = "value_"


class WriteOnlyTextarea(forms.Textarea):
    """A box of several lines that always comes back empty."""

    @override
    def format_value(self, value: Any) -> str:
        return ""


class ValueForm(forms.Form):
    """The fields of one kind. What they hold is judged by the service."""

    def __init__(self, *args: Any, kind: str, by: Any = None, **kwargs: Any) -> None:  # noqa: ARG002 -- for the child
        super().__init__(*args, **kwargs)
        self.kind = kind
        for field in KINDS[kind]:
            self.fields[VALUE_PREFIX + field.name] = form_field(field)

    @property
    def value_fields(self) -> list[forms.BoundField]:
        return [self[VALUE_PREFIX + field.name] for field in KINDS[self.kind]]

    def values(self) -> dict[str, Any]:
        """Return what was typed, as the service takes it: files in base64."""
        return values_of(self.kind, self.cleaned_data)

    def take_over(self, refusal: Invalid) -> None:
        """Show the sentences of the service beside the fields they speak of."""
        for path, sentences in refusal.errors.items():
            name = path.replace("values.", VALUE_PREFIX) if path.startswith("values.") else path
            self.add_error(name if name in self.fields else None, sentences)
        if not refusal.errors:
            self.add_error(None, refusal.detail)


class NewCredentialForm(ValueForm):
    """A credential to be."""

    name = forms.CharField(max_length=63, error_messages={"required": "Give it a name."})
    team = forms.ChoiceField(required=False)
    visibility = forms.ChoiceField(choices=[("", "Its team, or only me"), *Visibility.choices], required=False)
    description = forms.CharField(max_length=500, required=False)
    expires_at = forms.DateTimeField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, by=by, **kwargs)
        teams = Team.objects.visible_to(by, "submit").order_by("name")
        field = self.fields["team"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "Only me"), *((team.slug, team.name) for team in teams)]


class EditCredentialForm(forms.Form):
    """What is not secret."""

    name = forms.CharField(max_length=63, error_messages={"required": "Give it a name."})
    description = forms.CharField(max_length=500, required=False)
    visibility = forms.ChoiceField(choices=Visibility.choices)
    expires_at = forms.DateTimeField(required=False, widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))


def values_of(kind: str, cleaned: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was typed into the fields of a kind, as the service takes it: files in base64."""
    given = {}
    for field in KINDS[kind]:
        value = cleaned.get(VALUE_PREFIX + field.name)
        if value not in (None, ""):
            given[field.name] = base64.b64encode(value.read(MOST_BYTES + 1)).decode() if field.binary else value
    return given


def form_field(field: Field) -> forms.Field:
    """Return the input of one field: secret ones are never filled in."""
    said: dict[str, Any] = {"label": field.label, "required": field.required, "help_text": field.help}
    if field.binary:
        return forms.FileField(**said)
    plain = {"autocomplete": "off", "spellcheck": "false"}
    widget: forms.Widget = forms.TextInput(attrs=plain)
    if field.secret and field.multiline:
        widget = WriteOnlyTextarea(attrs={"rows": 5, **plain})
    elif field.secret:
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
    elif field.multiline:
        widget = forms.Textarea(attrs={"rows": 4, **plain})
    return forms.CharField(strip=False, widget=widget, **said)
