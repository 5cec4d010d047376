"""Tokens know from where they may be used, which one they replace, and whether they outlive their user."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_why_a_login_failed"),
    ]

    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="addresses",
            field=models.JSONField(default=list, help_text="Networks it may be used from; none: from everywhere."),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="outlives_user",
            field=models.BooleanField(default=False, editable=False),
        ),
        migrations.AddField(
            model_name="apitoken",
            name="replaces",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replacements",
                to="accounts.apitoken",
            ),
        ),
    ]
