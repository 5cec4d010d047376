"""The portal's forms. What they mean is judged by the services; what those refuse stands beside the field."""

import math
from typing import Any

from django import forms

from apps.access.choices import Visibility
from apps.core.errors import Invalid
from apps.models.choices import Operator, Stage, Target
from apps.models.models import RegisteredModel
from apps.models.services import FORMATS
from apps.teams.models import Team

_REASON = forms.TextInput(attrs={"autocomplete": "off"})
_OPERATORS = sorted(Operator.values, key=len, reverse=True)


class RefusableForm(forms.Form):
    """Shows what a service refused."""

    def take_over(self, refusal: Invalid) -> None:
        """Put the sentences of the service beside the fields they speak of."""
        for path, sentences in refusal.errors.items():
            name = path.partition("[")[0].partition(".")[0]
            self.add_error(name if name in self.fields else None, sentences)
        if not refusal.errors:
            self.add_error(None, refusal.detail)


class NewModelForm(RefusableForm):
    """A name for versions to come."""

    name = forms.CharField(max_length=250, error_messages={"required": "Give it a name."})
    team = forms.ChoiceField(required=False)
    visibility = forms.ChoiceField(choices=[("", "Its team, or only me"), *Visibility.choices], required=False)
    description = forms.CharField(max_length=200_000, required=False, widget=forms.Textarea(attrs={"rows": 8}))

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = Team.objects.visible_to(by, "submit").order_by("name")
        _choices(self, "team", [("", "Only me"), *((team.slug, team.name) for team in offered)])


class RegisterForm(RefusableForm):
    """A run's folder, as the next version of a model, or of one that comes into being with it."""

    model = forms.ChoiceField(required=False)
    new_name = forms.CharField(max_length=250, required=False)
    path = forms.CharField(max_length=500, required=False)
    description = forms.CharField(max_length=200_000, required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered: Any = RegisteredModel.objects.visible_to(by, "register").filter(archived_at=None).order_by("name")
        named = [(str(model.pk), _whose(model)) for model in offered.select_related("team", "owner")[:200]]
        _choices(self, "model", [("", "A new model"), *named])

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        if not found.get("model") and not found.get("new_name", "").strip():
            self.add_error("new_name", "Choose a model, or give the new one a name.")
        return found


class ManyFilesField(forms.FileField):
    """Several files of one input."""

    widget = type("ManyFiles", (forms.ClearableFileInput,), {"allow_multiple_selected": True})

    def clean(self, data: Any, initial: Any = None) -> Any:
        given = data if isinstance(data, (list, tuple)) else [data] if data else []
        if not given:
            raise forms.ValidationError(self.error_messages["required"])
        return [super(ManyFilesField, self).clean(one, initial) for one in given]


class UploadForm(RefusableForm):
    """The files of a new version, or one archive of them."""

    chosen = ManyFilesField(error_messages={"required": "Choose at least one file."})
    description = forms.CharField(max_length=200_000, required=False, widget=forms.Textarea(attrs={"rows": 4}))

    def archive(self) -> tuple[Any, str] | None:
        """Return the one file that is an archive, and its type."""
        given = self.cleaned_data["chosen"]
        name = given[0].name.lower()
        kind = {".zip": "application/zip", ".tar": "application/x-tar"}.get(name[-4:], "")
        kind = "application/gzip" if name.endswith((".tar.gz", ".tgz")) else kind
        return (given[0], kind) if len(given) == 1 and kind in FORMATS else None


class CardForm(RefusableForm):
    """Name and card of a model."""

    name = forms.CharField(max_length=250, error_messages={"required": "Give it a name."})
    description = forms.CharField(max_length=200_000, required=False, widget=forms.Textarea(attrs={"rows": 14}))


class VersionCardForm(RefusableForm):
    """The card of a version."""

    description = forms.CharField(max_length=200_000, required=False, widget=forms.Textarea(attrs={"rows": 8}))


class AliasForm(RefusableForm):
    """An alias and where it is to point."""

    alias = forms.CharField(max_length=250, error_messages={"required": "Name the alias."})
    version = forms.IntegerField(min_value=1)
    reason = forms.CharField(max_length=1000, required=False, widget=_REASON)
    do = forms.ChoiceField(choices=[("set", "Move"), ("remove", "Remove")])


class StageForm(RefusableForm):
    """A stage for a version."""

    stage = forms.ChoiceField(choices=Stage.choices)
    archive_others = forms.BooleanField(required=False)
    reason = forms.CharField(max_length=1000, required=False, widget=_REASON)


class RuleForm(RefusableForm):
    """What moves of an alias or stage need; thresholds are written a line each."""

    target = forms.ChoiceField(choices=Target.choices)
    name = forms.CharField(max_length=250, required=False)
    approvals = forms.IntegerField(min_value=0, max_value=10, initial=1)
    separate_duties = forms.BooleanField(required=False, initial=True)
    thresholds = forms.CharField(required=False, max_length=5000, widget=forms.Textarea(attrs={"rows": 3}))
    reason = forms.CharField(max_length=1000, error_messages={"required": "Say why."}, widget=_REASON)

    def clean_thresholds(self) -> list[dict[str, Any]]:
        lines = [line.strip() for line in self.cleaned_data["thresholds"].splitlines() if line.strip()]
        return [_threshold(line) for line in lines]


class AnswerForm(forms.Form):
    """An answer to a request; to refuse it needs a reason."""

    do = forms.ChoiceField(choices=[("approve", "Approve"), ("refuse", "Refuse")])
    reason = forms.CharField(max_length=1000, required=False)


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=1000, error_messages={"required": "Say why."}, widget=_REASON)


def _threshold(line: str) -> dict[str, Any]:
    for word in _OPERATORS:
        metric, found, value = line.partition(word)
        if found:
            try:
                number = float(value)
            except ValueError:
                break
            if math.isfinite(number):
                return {"metric": metric.strip(), "operator": word, "value": number}
            break
    msg = f'"{line[:100]}" is not like "accuracy >= 0.9".'
    raise forms.ValidationError(msg)


def _choices(form: forms.Form, name: str, choices: list[tuple[str, str]]) -> None:
    field = form.fields[name]
    if isinstance(field, forms.ChoiceField):
        field.choices = choices


def _whose(model: RegisteredModel) -> str:
    return f"{model.name} ({model.team.name if model.team else model.owner.username})"
