"""Every change of projects and of what is shared with whom is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


def _of(table: str) -> str:
    owned = f"SELECT o.team_id FROM {table} o WHERE o.id = (r->>'content_object_id')::uuid"  # noqa: S608 -- names of this file
    return f"audit_organization_of_team(({owned}))"


class Migration(migrations.Migration):
    dependencies: ClassVar = [("tracking", "0003_a_grant_says_by_whom_and_until_when"), ("teams", "0004_row_events")]

    operations: ClassVar = [
        audited("tracking_project", organization="audit_organization_of_team((r->>'team_id')::bigint)"),
        *(
            audited(
                f"tracking_{owned}{subject}grant",
                kind=f"tracking.{owned}",
                key="content_object_id",
                organization=_of(f"tracking_{owned}"),
            )
            for owned in ("project", "run")
            for subject in ("user", "group")
        ),
    ]
