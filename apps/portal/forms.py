"""Shares and requests for more, as people write them."""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from django import forms
from typing_extensions import override

from apps.portal import bars
from apps.quotas import services as quotas
from apps.quotas.choices import MONEY, family, in_units, words
from apps.quotas.forms import field_name, parse_amount, write_amount
from apps.quotas.models import QuotaLimit, QuotaNode

_NOT_YET = {"notebooks", "endpoints"}  # nothing asks for them yet
_MOST_NODES = 200


class AmountField(forms.CharField):
    """An amount, written "8", "500m" or "32Gi"; which resource it is of is known when it is read."""

    def __init__(self, **kwargs: Any) -> None:
        widget = forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
        super().__init__(max_length=40, widget=widget, **kwargs)


class ShareForm(forms.Form):
    """What a member may hold of his team's share, his weight in it, and why that changes."""

    weight = forms.IntegerField(min_value=1, max_value=1000)
    reason = forms.CharField(max_length=500, error_messages={"required": "Say why."})

    def __init__(
        self, *args: Any, team: Mapping[str, QuotaLimit], own: Mapping[str, QuotaLimit], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.resources = {name: title for name, title in bars.titles_of().items() if name not in _NOT_YET}
        self.fields["reason"].widget.attrs |= {"autocomplete": "off"}
        for resource, title in self.resources.items():
            row, most = own.get(resource), team.get(resource)
            field = AmountField(label=title, required=False, help_text=_told(resource, row, most))
            self.fields[field_name(resource)] = field
            self.initial.setdefault(field_name(resource), write_amount(resource, row.limit if row else None))

    @property
    def limits(self) -> list[Any]:
        """The fields of the limits, in the order of the resources."""
        return [self[field_name(resource)] for resource in self.resources]

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        for resource in self.resources:
            _read_amount(self, field_name(resource), resource)
        return data

    def changed(self) -> dict[str, int | None]:
        """Return the limits that are to change."""
        return {
            resource: self.cleaned_data.get(field_name(resource))
            for resource in self.resources
            if field_name(resource) in self.changed_data
        }


def _told(resource: str, row: QuotaLimit | None, most: QuotaLimit | None) -> str:
    used = f"In use: {bars.with_unit(resource, row.used if row else 0)}."
    if most is None or most.limit is None:
        return f"{used} The team has no limit."
    return f"{used} The team has {bars.with_unit(resource, most.limit)}."


def _read_amount(form: forms.Form, name: str, resource: str) -> None:
    """Put the amount in the place of what was typed, or the sentence beside the field."""
    try:
        form.cleaned_data[name] = parse_amount(resource, form.cleaned_data.get(name, ""))
    except ValueError as error:
        form.add_error(name, str(error))


class Until(forms.DateField):
    """The last day of something: what is given until then holds to its end."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), **kwargs)

    @override
    def clean(self, value: Any) -> datetime | None:
        day = super().clean(value)
        return datetime.combine(day, time(23, 59, 59), UTC) if day else None


class AskForm(forms.Form):
    """Ask for more: for which place in the tree, of what, how much in all, until when, what for."""

    node = forms.ChoiceField(label="For")
    resource = forms.ChoiceField(label="Of")
    amount = AmountField(label="How much in all", error_messages={"required": "Say how much."})
    until = Until(label="Until")
    reason = forms.CharField(
        label="What for",
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        error_messages={"required": "Say what for."},
    )

    def __init__(self, *args: Any, by: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = QuotaNode.objects.visible_to(by, "request").order_by("depth", "pk")[:_MOST_NODES]
        self.rows = {str(row.pk): row for row in rows}
        self.nodes = {str(node.pk): node for node in bars.nodes_of(by) if str(node.pk) in self.rows}
        self._choose("node", [(pk, _named(node)) for pk, node in self.nodes.items()])
        titles = {**bars.titles_of(), **quotas.others_at(self.rows[pk] for pk in self.nodes)}
        self._choose("resource", [(name, title) for name, title in titles.items() if name not in _NOT_YET])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        if isinstance(field, forms.ChoiceField):
            field.choices = choices

    @property
    def now(self) -> str:
        """What the chosen place may hold at this moment of what is chosen, "" when that is nothing limited."""
        pk, resource = str(self["node"].value()), str(self["resource"].value())
        node = self.nodes.get(pk)
        if node and family(resource) == MONEY and (amount := quotas.limit_now(self.rows[pk], resource)) is not None:
            return f"Now: {written(resource, amount)}."
        found = next((bar for bar in node.bars if bar.resource == resource), None) if node else None
        return f"Now: {found.limit}, of which {found.used} in use." if found else ""

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if "resource" in data and data.get("amount"):
            _read_amount(self, "amount", data["resource"])
        return data


def _named(node: bars.Node) -> str:
    return f"the whole team {node.name}" if node.kind == "team" else node.name


class DecideForm(forms.Form):
    """The answer to a request. `approved` is the button that was pressed, if it was that one."""

    approved = forms.CharField(required=False)
    amount = AmountField(label="Give", required=False)
    until = Until(label="Until")
    note = forms.CharField(label="Note", max_length=1000, required=False)

    def __init__(self, *args: Any, resource: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.resource = resource

    @override
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("approved"):
            _read_amount(self, "amount", self.resource)
        return data


def written(resource: str, amount: int | None) -> str:
    """Write an amount with its words: "8 GPUs"."""
    return "any amount" if amount is None else f"{in_units(resource, amount)} {words(resource)}"
