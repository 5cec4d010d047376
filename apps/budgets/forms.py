"""Money as people write it: "50", "1250.50"."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from typing_extensions import override

from apps.budgets.choices import BudgetPolicy, Cadence, in_money, parse_money
from apps.budgets.models import Budget, Price
from apps.quotas.models import Resource

if TYPE_CHECKING:
    BudgetForm_ = forms.ModelForm[Budget]
    PriceForm_ = forms.ModelForm[Price]
else:
    BudgetForm_ = PriceForm_ = forms.ModelForm


class MoneyField(forms.CharField):
    """An amount; cleaned to micros."""

    def __init__(self, **more: Any) -> None:
        widget = forms.TextInput(attrs={"size": 16, "inputmode": "decimal", "autocomplete": "off"})
        super().__init__(max_length=40, widget=widget, **more)

    @override
    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        try:
            return parse_money(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


def _why(*, required: bool, help_text: str = "Written to the audit trail, with your name.") -> forms.CharField:
    widget = forms.TextInput(attrs={"size": 60, "autocomplete": "off"})
    return forms.CharField(required=required, max_length=500, widget=widget, help_text=help_text)


class PriceForm(PriceForm_):
    """A new version of a price."""

    cluster = forms.ChoiceField()
    resource = forms.ChoiceField(choices=lambda: [(name, name) for name in Resource.objects.names()])
    price = MoneyField(help_text="For one CPU, one GPU, one GiB, or one of what is counted; for an hour.")
    reason = _why(required=True)

    class Meta:
        model = Price
        fields = ("cluster", "resource", "price", "effective_from", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "effective_from" in self.fields:  # who only reads has no field at all
            self.fields["effective_from"].required = False
            self.fields["effective_from"].help_text = "Now, if none is given. What was admitted before keeps its price."


class BudgetForm(BudgetForm_):
    """A budget, new or changed: where and how often cannot be changed."""

    place = forms.CharField(
        max_length=200,
        widget=forms.TextInput(attrs={"size": 40, "autocomplete": "off"}),
        help_text="platform, org:<slug>, team:<slug>, user:<name> or team:<slug>/user:<name>.",
    )
    cadence = forms.ChoiceField(choices=Cadence.choices)
    policy = forms.ChoiceField(choices=BudgetPolicy.choices)
    amount = MoneyField(help_text="For each period; of the running one, too.")
    reason = _why(required=True)

    class Meta:
        model = Budget
        fields: ClassVar[list[str]] = [
            "place",
            "cadence",
            "policy",
            "amount",
            "starts_at",
            "ends_at",
            "webhook_url",
            "reason",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["amount"] = in_money(self.instance.amount_micros, exact=True)
            for name in ("place", "cadence", "starts_at", "ends_at"):
                self.fields.pop(name, None)
