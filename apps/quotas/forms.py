"""Limits as people write them: "8", "500m", "32Gi"."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from typing_extensions import override

from apps.access.forms import reason_field
from apps.quotas.choices import (
    ARTIFACTS,
    CPU,
    DISK,
    GPU,
    MEMORY,
    MONEY,
    Known,
    NodeKind,
    family,
    in_units,
    unit_of,
    words,
)
from apps.quotas.models import QuotaDefault, QuotaLimit, QuotaNode, Resource

if TYPE_CHECKING:
    ModelForm = forms.ModelForm[QuotaNode]
else:
    ModelForm = forms.ModelForm

LARGEST = 1 << 53

_MILLI = frozenset({CPU, GPU})
_BYTES = frozenset({MEMORY, DISK, ARTIFACTS})
_WRITTEN = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", re.ASCII)
_FACTORS = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)},
}
# A cluster says itself how much of these it has; what a person wrote would be gone with the next health check.
REPORTED = frozenset({CPU, MEMORY, GPU})


def label(one: Known, *, with_unit: bool = False) -> str:
    """Name a resource for people, if wanted with the unit in which `in_units` writes it."""
    unit = ", GiB" if with_unit and family(one.name) in _BYTES else ""
    return one.title + unit


def parse_amount(resource: str, text: str) -> int | None:
    """Return an amount in base units, rounded up; None for nothing written. Raises: ValueError with a sentence."""
    if not text:
        return None
    kind = family(resource)
    match = _WRITTEN.fullmatch(text)
    example = _EXAMPLES.get(kind, "a whole number")
    if match is None or (match[2] and kind not in _BYTES | _MILLI):
        msg = f"{text!r} is not an amount of {words(resource)}. Write {example}; nothing means no limit."
        raise ValueError(msg)
    amount = Decimal(match[1]) * _FACTORS[match[2] or ""] * (1 if kind in _BYTES else unit_of(resource))
    if kind not in _BYTES | _MILLI and amount % 1:
        msg = f"{text!r} is not {example}."
        raise ValueError(msg)
    if amount > LARGEST:
        msg = f"{text!r} is too large."
        raise ValueError(msg)
    return int(amount.to_integral_value(ROUND_CEILING))


_EXAMPLES = {
    **dict.fromkeys(_BYTES, "512Mi or 32Gi"),
    **dict.fromkeys(_MILLI, "8, 0.5 or 500m"),
    MONEY: "500 or 500.25, with at most six digits after the point",
}


def write_amount(resource: str, amount: int | None) -> str:
    """Write an amount so that `parse_amount` gives exactly it back."""
    if amount is None:
        return ""
    if family(resource) not in _BYTES:
        return f"{Decimal(amount) / unit_of(resource):f}"
    for suffix in ("Pi", "Ti", "Gi", "Mi", "Ki"):
        if amount and amount % int(_FACTORS[suffix]) == 0:
            return f"{amount // int(_FACTORS[suffix])}{suffix}"
    return str(amount)


def field_name(resource: str) -> str:
    return f"limit_{resource}"


def borrow_name(resource: str) -> str:
    return f"borrow_{resource}"


def amount_field(words: str, *, required: bool = False, help_text: str = "") -> forms.CharField:
    widget = forms.TextInput(attrs={"size": 14, "inputmode": "text", "autocomplete": "off"})
    return forms.CharField(label=words, required=required, max_length=40, widget=widget, help_text=help_text)


class LimitsForm(ModelForm):
    """A node's weight, two fields per resource (what it may hold, and borrow beyond that), and why.

    Every change needs a reason.
    """

    weight = forms.IntegerField(
        required=False, min_value=1, max_value=1_000_000, help_text="Its share among its siblings, in fair share."
    )
    reason = reason_field(needed="Needed when something changes.", size=60)

    class Meta:
        model = QuotaNode
        fields: ClassVar[list[str]] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits = {row.resource: row for row in self._rows()}
        known = Resource.objects.known()
        self.resources = [one.name for one in known]
        self.initial["weight"] = self.instance.weight
        for one in known:
            resource = one.name
            row, limit, borrow = self.limits.get(resource), field_name(resource), borrow_name(resource)
            self.fields[limit] = field = amount_field(label(one))
            self.fields[borrow] = amount_field("may borrow")
            self.initial[limit] = write_amount(resource, row.limit if row else None)
            self.initial[borrow] = write_amount(resource, row.borrow) if row and row.borrow else ""
            field.disabled = self.instance.kind == NodeKind.CLUSTER and family(resource) in REPORTED
            self.fields[borrow].disabled = self.instance.kind == NodeKind.CLUSTER
            field.help_text = _told(row, is_reported=field.disabled)
            self.fields[borrow].widget.attrs["aria-label"] = f"{label(one)}: may borrow"

    def _rows(self) -> list[QuotaLimit]:
        return list(self.instance.limits.all()) if self.instance.pk else []

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for resource in self.resources:
            for name in (field_name(resource), borrow_name(resource)):
                try:
                    data[name] = parse_amount(resource, data.get(name, ""))
                except ValueError as error:
                    self.add_error(name, str(error))
        if (self.changed_limits() or self.changed_weight()) and not data.get("reason"):
            self.add_error("reason", "Say why.")
        return data

    def changed_limits(self) -> dict[str, tuple[int | None, int]]:
        """Return the resources of which something is to change, with the new limit and what may be borrowed."""
        data = self.cleaned_data
        return {
            resource: (data.get(field_name(resource)), data.get(borrow_name(resource)) or 0)
            for resource in self.resources
            if {field_name(resource), borrow_name(resource)} & set(self.changed_data)
        }

    def changed_weight(self) -> int | None:
        """Return the new weight, None when it stays."""
        weight: int | None = self.cleaned_data.get("weight")
        return weight if weight != self.instance.weight else None


def _told(row: QuotaLimit | None, *, is_reported: bool) -> str:
    used = f"In use: {in_units(row.resource, row.used)} {words(row.resource)}." if row else ""
    lent = f" Of these borrowed: {in_units(row.resource, row.borrowed)}." if row and row.borrowed else ""
    return f"{used} The cluster itself reports this." if is_reported else f"{used}{lent}"


class ResourceForm(forms.ModelForm):  # type: ignore[type-arg]  # generic for type checkers only
    """What can be limited; its name stays what it is."""

    reason = reason_field()

    class Meta:
        model = Resource
        fields: ClassVar[list[str]] = ["name", "title", "position", "weight"]


class DefaultForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
    """The limit with which nodes of a kind begin, as people write it."""

    kind = forms.ChoiceField(choices=[(kind.value, kind.label) for kind in NodeKind if kind != NodeKind.CLUSTER])
    resource = forms.ChoiceField()
    amount = amount_field("Limit", help_text="Write 8, 0.5 or 32Gi; leave empty for no limit.")
    reason = reason_field()

    class Meta:
        model = QuotaDefault
        fields: ClassVar[list[str]] = ["kind", "resource"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "resource" in self.fields:  # it is not where the page is only read
            names = {*Resource.objects.names(), *filter(None, [self.instance.resource])}
            self.fields["resource"].choices = [(name, name) for name in sorted(names)]  # type: ignore[attr-defined]  # a ChoiceField
        if self.instance.pk:
            self.initial["amount"] = write_amount(self.instance.resource, self.instance.limit)

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        try:
            self.instance.limit = parse_amount(data.get("resource", ""), data.get("amount", ""))
        except ValueError as error:
            self.add_error("amount", str(error))
        return data


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
