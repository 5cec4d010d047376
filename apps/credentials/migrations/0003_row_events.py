"""Every change of credentials and of whom they are shared with is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

_OF_TEAM = "audit_organization_of_team((r->>'team_id')::bigint)"
_OWNED = "SELECT o.team_id FROM credentials_credential o WHERE o.id = (r->>'{}')::uuid"


def _of(key: str) -> str:
    return f"audit_organization_of_team(({_OWNED.format(key)}))"


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("credentials", "0002_a_grant_says_by_whom_and_until_when"),
        ("teams", "0004_row_events"),
        ("audit", "0005_row_events"),
    ]

    operations: ClassVar = [
        audited("credentials_credential", secret=["fingerprint"], ignore=["last_used_at"], organization=_OF_TEAM),
        audited(
            "credentials_secretvalue",
            kind="credentials.credential",
            key="credential_id",
            secret=["ciphertext"],
            organization=_of("credential_id"),
        ),
        audited("credentials_datakey", secret=["wrapped"]),
        *(
            audited(
                f"credentials_credential{subject}grant",
                kind="credentials.credential",
                key="content_object_id",
                organization=_of("content_object_id"),
            )
            for subject in ("user", "group")
        ),
    ]
