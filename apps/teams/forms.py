from django import forms

from apps.teams.choices import TeamRole


class MemberForm(forms.Form):
    username = forms.CharField(max_length=150, error_messages={"required": "Enter the person's user name."})
    role = forms.ChoiceField(choices=TeamRole.choices, initial=TeamRole.MEMBER)
