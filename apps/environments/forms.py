"""The portal's forms. What they mean is judged by the services; what those refuse stands beside the field."""

from typing import Any

from django import forms

from apps.access.choices import Visibility
from apps.core.errors import Invalid
from apps.environments.models import EnvironmentVersion
from apps.environments.recipes import MOST_TEXT
from apps.teams.models import Team


def _area(rows: int) -> forms.Textarea:
    return forms.Textarea(attrs={"rows": rows, "spellcheck": "false"})


class RefusableForm(forms.Form):
    """Shows what a service refused."""

    def take_over(self, refusal: Invalid) -> None:
        """Put the sentences of the service beside the fields they speak of."""
        for name, sentences in refusal.errors.items():
            self.add_error(name if name in self.fields else None, sentences)
        if not refusal.errors:
            self.add_error(None, refusal.detail)


class ContentsForm(RefusableForm):
    """What a version is made of."""

    python = forms.CharField(max_length=10, required=False)
    packages = forms.CharField(max_length=MOST_TEXT, required=False, widget=_area(10), strip=False)
    r_packages = forms.CharField(max_length=20_000, required=False, widget=_area(2))
    image = forms.CharField(max_length=500, required=False)
    variables = forms.CharField(max_length=MOST_TEXT, required=False, widget=_area(3), strip=False)

    def contents(self) -> dict[str, Any]:
        """Return what was typed, as `read_contents` takes it. Raises: Invalid for a line that is no NAME=value."""
        given = self.cleaned_data
        return {
            "python": given["python"],
            "packages": given["packages"].replace("\r\n", "\n"),
            "r_packages": given["r_packages"].split(),
            "image": given["image"].strip(),
            "variables": _pairs(given["variables"]),
        }

    @staticmethod
    def like(version: EnvironmentVersion) -> dict[str, Any]:
        """Return what the form of the next version starts with."""
        return {
            "python": version.python,
            "packages": "\n".join(version.packages),
            "r_packages": "\n".join(version.r_packages),
            "image": version.image,
            "variables": "\n".join(f"{name}={value}" for name, value in version.variables.items()),
        }


class NewEnvironmentForm(ContentsForm):
    """A name, and its first version."""

    name = forms.CharField(max_length=100, error_messages={"required": "Give it a name."})
    team = forms.ChoiceField(required=False)
    visibility = forms.ChoiceField(choices=[("", "Its team, or only me"), *Visibility.choices], required=False)
    description = forms.CharField(max_length=20_000, required=False, widget=_area(2))

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = Team.objects.visible_to(by, "submit").order_by("name")
        field = self.fields["team"]
        if isinstance(field, forms.ChoiceField):
            field.choices = [("", "Only me"), *((team.slug, team.name) for team in offered)]


class EditEnvironmentForm(RefusableForm):
    """Name and description."""

    name = forms.CharField(max_length=100, error_messages={"required": "Give it a name."})
    description = forms.CharField(max_length=20_000, required=False, widget=_area(4))


def _pairs(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, separator, value = line.partition("=")
        if not line.strip():
            continue
        if not separator or not name.strip():
            raise Invalid(errors={"variables": [f"Line {number} should look like NAME=value."]})
        found[name.strip()] = value
    return found
