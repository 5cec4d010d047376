"""The form of a cluster: its own columns, and one field for each setting its backend declares. And those of the queue."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from typing_extensions import override

from apps.access.forms import reason_field
from apps.compute import registry
from apps.compute.backends.base import SettingField
from apps.compute.models import Cluster, PriorityClass
from apps.core.errors import Invalid
from apps.quotas.forms import LimitsForm, borrow_name, write_amount
from apps.quotas.forms import field_name as field_name_of
from apps.quotas.models import QuotaLimit

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Cluster]
    ClassModelForm = forms.ModelForm[PriorityClass]
else:
    ModelForm = ClassModelForm = forms.ModelForm

_PREFIX = "setting_"


def field_name(setting: SettingField) -> str:
    return f"{_PREFIX}{setting.name}"


def settings_of(kind: str) -> tuple[SettingField, ...]:
    """Return what can be set for a kind of cluster. Raises: Invalid for an unknown kind."""
    return registry.backend_class(kind).settings_schema.fields()


class PriorityClassForm(ClassModelForm):
    """A rank, and who may use it."""

    rank = forms.IntegerField(min_value=-1000, max_value=1000, help_text="-1000 to 1000; higher goes first.")
    reason = reason_field()

    class Meta:
        model = PriorityClass
        fields: ClassVar[list[str]] = ["name", "rank", "open_to", "description"]


class WhatIfForm(LimitsForm):
    """A node's limits as they might be. The weight is left out: it moves places in the queue, not what fits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["weight"]
        self.fields["reason"].help_text = "Needed to set them. Written to the audit trail, with your name."

    @staticmethod
    def as_it_is(rows: Iterable[QuotaLimit]) -> dict[str, str]:
        """Return what the form shows when nothing is changed."""
        found = {}
        for row in rows:
            found[field_name_of(row.resource)] = write_amount(row.resource, row.limit)
            found[borrow_name(row.resource)] = write_amount(row.resource, row.borrow or None)
        return found

    @property
    def pairs(self) -> list[tuple[forms.BoundField, forms.BoundField]]:
        return [(self[field_name_of(resource)], self[borrow_name(resource)]) for resource in self.resources]

    @override
    def clean(self) -> dict[str, Any]:
        """Ask for the reason only when the limits are to be set."""
        data = super().clean()
        if "_confirmed" not in self.data:
            self.errors.pop("reason", None)
        elif not self.changed_limits() and not self.errors:
            self.add_error(None, "No limit is another than it is.")
        return data

    @override
    def changed_weight(self) -> None:
        return None


class ClusterForm(ModelForm):
    """Secret settings are write-only: never sent to the browser, and kept when left empty.

    What equals the backend's default is not stored, so that a better default reaches old clusters too.
    """

    class Meta:
        model = Cluster
        fields: ClassVar[list[str]] = ["name", "is_enabled", "labels"]

    def __init__(self, *args: Any, kind: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kind = self.instance.kind = kind
        self.settings_known = settings_of(kind)
        self.fields["labels"].widget = forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})
        self.fields["labels"].help_text = 'A JSON object that placement can ask for, as {"zone": "a"}.'
        self.fields["is_enabled"].label = "Enabled"
        self.fields["is_enabled"].help_text = "A disabled cluster is not looked at: what runs there is not followed."
        for setting in self.settings_known:
            known = self.instance.settings or {}
            self.fields[field_name(setting)] = _field(setting, is_set=bool(known.get(setting.name)))
            if not setting.secret:
                self.initial[field_name(setting)] = _shown(known.get(setting.name, setting.default))

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "labels" in data and not isinstance(data["labels"] or {}, dict):
            self.add_error("labels", "A JSON object.")
        if not self.errors:
            self._judge(self.backend_settings())
        return data

    def backend_settings(self) -> dict[str, Any]:
        """Return the settings as they are to be stored."""
        before, chosen = self.instance.settings or {}, {}
        for setting in self.settings_known:
            value = _read(setting, self.cleaned_data.get(field_name(setting)))
            if setting.secret and not value:
                value = before.get(setting.name)
            if value is not None and value != setting.default and _shown(value) != _shown(setting.default):
                chosen[setting.name] = value
        return chosen

    def _judge(self, chosen: dict[str, Any]) -> None:
        """Let the backend say what is wrong, beside the field it names."""
        try:
            registry.parse_settings(self.kind, chosen)
        except Invalid as error:
            for sentence in (text for sentences in error.errors.values() for text in sentences):
                named = f"{_PREFIX}{sentence.partition(':')[0]}"
                self.add_error(named if named in self.fields else None, sentence)

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django's hook, which the stubs do not know
        if not self.errors:
            self.instance.settings = self.backend_settings()
            self.instance.labels = self.cleaned_data["labels"] or {}


def _field(setting: SettingField, *, is_set: bool) -> forms.Field:
    label = setting.name.replace("_", " ").capitalize()
    if setting.secret:
        hint = "Set. Leave empty to keep it." if is_set else "Not set."
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "placeholder": hint})
        return forms.CharField(label=label, help_text=setting.help, required=False, widget=widget)
    told = f"{setting.help} One a line." if setting.type is list else setting.help
    field, shape = _FIELDS.get(setting.type, (forms.CharField, _line))
    shaped = {} if shape is None else {"widget": shape()}
    made: forms.Field = field(label=label, help_text=told, required=False, **shaped)
    return made


def _line() -> forms.Widget:
    return forms.TextInput(attrs={"size": 60, "spellcheck": "false"})


def _lines() -> forms.Widget:
    return forms.Textarea(attrs={"rows": 3, "cols": 60, "spellcheck": "false"})


# Type of a setting -> form field, and what it is written in unless the field knows best.
_FIELDS: dict[type, tuple[type[forms.Field], Any]] = {
    bool: (forms.BooleanField, None),
    int: (forms.IntegerField, None),
    float: (forms.FloatField, None),
    list: (forms.CharField, _lines),
    dict: (forms.JSONField, _lines),
}


def _shown(value: Any) -> Any:
    return "\n".join(value) if isinstance(value, (list, tuple)) else value


def _read(setting: SettingField, value: Any) -> Any:
    """Turn what the form field gave into what the backend declares; None for nothing written."""
    if setting.type is list:
        return [line.strip() for line in (value or "").splitlines() if line.strip()]
    return None if value == "" and setting.secret else value
