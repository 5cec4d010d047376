"""Limits as people write them: "8", "500m", "32Gi"."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.conf import settings
from typing_extensions import override

from apps.access.forms import reason_field
from apps.quotas.choices import (
    CPU,
    DISK,
    EXPERIMENTS,
    GPU,
    MEMORY,
    NodeKind,
    in_units,
    words,
)
from apps.quotas.models import QuotaLimit, QuotaNode

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[QuotaNode]
else:
    ModelForm = forms.ModelForm

LARGEST = 1 << 53

_LABELS = {CPU: "CPUs", MEMORY: "Memory", GPU: "GPUs", DISK: "Disk", EXPERIMENTS: "Experiments"}
_MILLI = frozenset({CPU, GPU})
_BYTES = frozenset({MEMORY, DISK})
_WRITTEN = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", re.ASCII)
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)},
}
# A cluster says itself how much of these it has; what a person wrote would be gone with the next health check.
REPORTED = frozenset({CPU, MEMORY, GPU})


def label(resource: str, *, with_unit: bool = False) -> str:
    """Name a resource for people, if wanted with the unit in which `in_units` writes it."""
    unit = ", GiB" if with_unit and resource in _BYTES else ""
    return _LABELS.get(resource, resource) + unit


def parse_amount(resource: str, text: str) -> int | None:
    """Return an amount in base units, rounded up; None for nothing written. Raises: ValueError with a sentence."""
    if not text:
        return None
    match = _WRITTEN.fullmatch(text)
    example = "512Mi or 32Gi" if resource in _BYTES else "8, 0.5 or 500m" if resource in _MILLI else "a whole number"
    if match is None or (match[2] and resource not in _BYTES | _MILLI):
        msg = f"{text!r} is not an amount of {words(resource)}. Write {example}; nothing means no limit."
        raise ValueError(msg)
    amount = Decimal(match[1]) * _FACTORS[match[2] or ""] * (1000 if resource in _MILLI else 1)
    if resource not in _BYTES | _MILLI and amount % 1:
        msg = f"{text!r} is not {example}."
        raise ValueError(msg)
    if amount > LARGEST:
        msg = f"{text!r} is too large."
        raise ValueError(msg)
    return int(amount.to_integral_value(ROUND_CEILING))


def write_amount(resource: str, amount: int | None) -> str:
    """Write an amount so that `parse_amount` gives exactly it back."""
    if amount is None:
        return ""
    if resource in _MILLI:
        return f"{amount // 1000}.{amount % 1000:03d}".rstrip("0").rstrip(".")
    if resource not in _BYTES:
        return str(amount)
    for suffix in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        if amount and amount % int(_FACTORS[suffix]) == 0:
            return f"{amount // int(_FACTORS[suffix])}{suffix}"
    return str(amount)


def field_name(resource: str) -> str:
    return f"limit_{resource}"


def _limit_field(resource: str) -> forms.CharField:
    widget = forms.TextInput(attrs={"size": 14, "inputmode": "text", "autocomplete": "off"})
    return forms.CharField(label=label(resource), required=False, max_length=40, widget=widget)


class LimitsForm(ModelForm):
    """One field per resource, and why: every change needs a reason."""

    reason = reason_field(needed="Needed when a limit changes.", size=60)

    class Meta:
        model = QuotaNode
        fields: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = {row.resource: row for row in self._rows()}
        for resource in settings.QUOTA_RESOURCES:
            field, row = _limit_field(resource), self.limits.get(resource)
            self.fields[field_name(resource)] = field
            self.initial[field_name(resource)] = write_amount(resource, row.limit if row else None)
            field.disabled = self.instance.kind == NodeKind.CLUSTER and resource in REPORTED
            field.help_text = _told(row, is_reported=field.disabled)

    def _rows(self) -> list[QuotaLimit]:
        return list(self.instance.limits.all()) if self.instance.pk else []

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for resource in settings.QUOTA_RESOURCES:
            try:
                data[field_name(resource)] = parse_amount(resource, data.get(field_name(resource), ""))
            except ValueError as error:
                self.add_error(field_name(resource), str(error))
        if self.changed_limits() and not data.get("reason"):
            self.add_error("reason", "Say why.")
        return data

    def changed_limits(self) -> dict[str, int | None]:
        """Return the resources whose limit is to change, with the new one."""
        names = {field_name(resource): resource for resource in settings.QUOTA_RESOURCES}
        return {names[name]: self.cleaned_data.get(name) for name in self.changed_data if name in names}


def _told(row: QuotaLimit | None, *, is_reported: bool) -> str:
    used = f"In use: {in_units(row.resource, row.used)} {words(row.resource)}." if row else ""
    return f"{used} The cluster itself reports this." if is_reported else used


class LimitsFileForm(forms.Form):
    """A file of limits; after the rehearsal its text, with the reason."""

    file = forms.FileField(required=False, widget=forms.ClearableFileInput(attrs={"accept": ".csv,text/csv"}))
    text = forms.CharField(required=False, strip=False, max_length=500_000, widget=forms.HiddenInput())
    reason = reason_field(required=False)

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "_confirmed" in self.data:
            if not data.get("reason"):
                self.add_error("reason", "Say why.")
            return data
        sent = data.get("file")
        if sent is None:
            self.add_error("file", "Choose a file.")
            return data
        try:
            data["text"] = sent.read(500_001).decode("utf-8-sig")
        except UnicodeDecodeError:
            self.add_error("file", "This is not UTF-8 text.")
            return data
        if len(data["text"]) > 500_000:  # noqa: PLR2004 -- as above
            self.add_error("file", "At most 500 kB at a time.")
        return data
