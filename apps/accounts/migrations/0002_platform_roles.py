"""Admin becomes a role that is taken up, beside the auditor's; a user can be a team's service account."""

from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models


def _admins_keep_their_role(apps: Any, _editor: Any) -> None:
    apps.get_model("accounts", "User").objects.filter(is_superuser=True).update(platform_role="admin")


def _admins_get_their_flags(apps: Any, _editor: Any) -> None:
    apps.get_model("accounts", "User").objects.filter(platform_role="admin").update(is_superuser=True, is_staff=True)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0001_initial"), ("teams", "0001_initial")]
    operations: ClassVar = [
        migrations.AddField(
            "user",
            "platform_role",
            models.CharField(
                blank=True,
                choices=[("", "None"), ("admin", "Admin"), ("auditor", "Auditor")],
                default="",
                max_length=8,
            ),
        ),
        migrations.AddField(
            "user",
            "service_of",
            models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="service_accounts",
                to="teams.team",
            ),
        ),
        migrations.AlterField(
            "apitoken",
            "kind",
            models.CharField(
                choices=[("pat", "Personal"), ("svc", "Service account"), ("run", "Run")], default="pat", max_length=3
            ),
        ),
        migrations.RunPython(_admins_keep_their_role, _admins_get_their_flags),
    ]
