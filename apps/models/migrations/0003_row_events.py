"""Every change of models, their shares, aliases and rules is written into the trail by the database.

Versions are not: registering is a hot path, and a trigger keeps them as they were made.
"""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

_OWNED = "SELECT o.team_id FROM registry_registeredmodel o WHERE o.id = (r->>'{}')::uuid"


def _of(key: str) -> str:
    return f"audit_organization_of_team(({_OWNED.format(key)}))"


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("registry", "0002_history_and_files_stay"),
        ("teams", "0004_row_events"),
        ("audit", "0005_row_events"),
    ]

    operations: ClassVar = [
        audited(
            "registry_registeredmodel",
            ignore=["newest", "updated_at"],
            organization="audit_organization_of_team((r->>'team_id')::bigint)",
        ),
        *(
            audited(f"registry_{table}", kind="registry.registeredmodel", key="model_id", organization=_of("model_id"))
            for table in ("alias", "protection", "moverequest")
        ),
        *(
            audited(
                f"registry_registeredmodel{subject}grant",
                kind="registry.registeredmodel",
                key="content_object_id",
                organization=_of("content_object_id"),
            )
            for subject in ("user", "group")
        ),
    ]
