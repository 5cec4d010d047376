"""Every change of registrations, second factors and one-time links is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0011_reset_links"), ("audit", "0005_row_events")]

    operations: ClassVar = [
        audited("accounts_registration", secret=["password"]),
        audited("accounts_secondfactor", kind="accounts.user", key="user_id", secret=["seed"], ignore=["last_step"]),
        audited("accounts_recoverycode", kind="accounts.user", key="user_id", secret=["digest"]),
        audited("accounts_resetlink", kind="accounts.user", key="user_id", secret=["digest"]),
    ]
