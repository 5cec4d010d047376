"""Every change of organizations, teams, memberships and groups is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

_FORWARD = """
CREATE FUNCTION audit_organization_of_team(team bigint) RETURNS bigint STABLE LANGUAGE plpgsql AS
$$ BEGIN RETURN (SELECT organization_id FROM teams_team WHERE id = team); END $$;
CREATE FUNCTION audit_organization_of_group(given bigint) RETURNS bigint STABLE LANGUAGE plpgsql AS
$$ BEGIN RETURN (SELECT organization_id FROM teams_team WHERE group_id = given
                 UNION ALL SELECT id FROM teams_organization WHERE group_id = given LIMIT 1); END $$;
"""
_BACKWARD = """
DROP FUNCTION audit_organization_of_team(bigint);
DROP FUNCTION audit_organization_of_group(bigint);
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("teams", "0003_organization_group_required"),
        ("accounts", "0001_initial"),
        ("audit", "0005_row_events"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations: ClassVar = [
        migrations.RunSQL(_FORWARD, _BACKWARD),
        audited("teams_organization", organization="r->>'id'"),
        audited("teams_team", organization="r->>'organization_id'"),
        audited(
            "teams_membership",
            kind="teams.team",
            key="team_id",
            organization="audit_organization_of_team((r->>'team_id')::bigint)",
        ),
        audited("auth_group", organization="audit_organization_of_group((r->>'id')::bigint)"),
        audited("auth_group_permissions", kind="auth.group", key="group_id"),
        audited(
            "accounts_user_groups",
            kind="accounts.user",
            key="user_id",
            organization="audit_organization_of_group((r->>'group_id')::bigint)",
        ),
    ]
