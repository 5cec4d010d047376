"""Every change of environments and their shares is written into the trail by the database. Versions cannot change."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

_TEAM = "SELECT o.team_id FROM environments_environment o WHERE o.id = (r->>'content_object_id')::uuid"


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("environments", "0002_versions_and_locks_stay"),
        ("teams", "0004_row_events"),
        ("audit", "0005_row_events"),
    ]

    operations: ClassVar = [
        audited(
            "environments_environment",
            ignore=["newest", "updated_at"],
            organization="audit_organization_of_team((r->>'team_id')::bigint)",
        ),
        *(
            audited(
                f"environments_environment{subject}grant",
                kind="environments.environment",
                key="content_object_id",
                organization=f"audit_organization_of_team(({_TEAM}))",
            )
            for subject in ("user", "group")
        ),
    ]
