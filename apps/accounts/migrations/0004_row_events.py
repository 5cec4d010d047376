"""Every change of people and tokens is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0003_no_superuser_flags"), ("audit", "0005_row_events")]

    operations: ClassVar = [
        audited("accounts_user", secret=["password"], ignore=["last_login"]),
        audited("accounts_user_user_permissions", kind="accounts.user", key="user_id"),
        audited(
            "accounts_apitoken",
            secret=["digest"],
            ignore=["last_used_at", "last_used_ip"],
            unless="{row}.kind = 'run'",  # one for each attempt: it stands in the attempt's own record
        ),
    ]
