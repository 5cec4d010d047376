"""What forms of several apps share."""

from django import forms

_TOLD = "Written to the audit trail, with your name."


def reason_field(*, needed: str = "", required: bool = True, size: int = 80, **attrs: object) -> forms.CharField:
    """Return the field for why something is done; `needed` says when, where the form itself decides that."""
    widget = forms.TextInput(attrs={"autocomplete": "off", **attrs, "size": size})
    told = f"{needed} {_TOLD}".strip()
    messages = {"required": "Say why."}
    return forms.CharField(
        max_length=500, required=required and not needed, widget=widget, help_text=told, error_messages=messages
    )
