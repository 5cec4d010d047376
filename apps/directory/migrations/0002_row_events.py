"""Every change of a rule is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


class Migration(migrations.Migration):
    dependencies: ClassVar = [("directory", "0001_initial"), ("teams", "0004_row_events"), ("audit", "0005_row_events")]

    operations: ClassVar = [
        audited("directory_directoryrule", organization="audit_organization_of_team((r->>'team_id')::bigint)"),
    ]
