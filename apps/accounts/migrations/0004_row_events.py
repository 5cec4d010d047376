"""Every change of people and tokens is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

# A service account is its team's; a person is nobody's.
_OF_ACCOUNT = "audit_organization_of_team((r->>'service_of_id')::bigint)"
_OF_OWNER = (
    "audit_organization_of_team((SELECT u.service_of_id FROM accounts_user u WHERE u.id = (r->>'user_id')::bigint))"
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0003_no_superuser_flags"), ("teams", "0004_row_events")]

    operations: ClassVar = [
        audited("accounts_user", secret=["password"], ignore=["last_login"], organization=_OF_ACCOUNT),
        audited("accounts_user_user_permissions", kind="accounts.user", key="user_id"),
        audited(
            "accounts_apitoken",
            secret=["digest"],
            ignore=["last_used_at", "last_used_ip"],
            organization=_OF_OWNER,
            unless="{row}.kind = 'run'",  # one for each attempt: it stands in the attempt's own record
        ),
    ]
