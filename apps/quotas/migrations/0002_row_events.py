"""Every change of the quota tree and its limits is written into the trail by the database; what is used is not."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

# A node's key says whose it is: "org:1", "team:7", "team:7/user:3"; anything else is the platform's.
_ORGANIZATION_OF_KEY = """
    coalesce(substring({key} FROM '^org:(\\d+)$')::bigint, audit_organization_of_team(substring({key} FROM '^team:(\\d+)')::bigint))
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("quotas", "0001_initial"), ("teams", "0004_row_events")]

    operations: ClassVar = [
        audited("quotas_quotanode", organization=_ORGANIZATION_OF_KEY.format(key="r->>'key'")),
        audited(
            "quotas_quotalimit",
            kind="quotas.quotanode",
            key="node_id",
            ignore=["used"],
            organization=_ORGANIZATION_OF_KEY.format(
                key="(SELECT n.key FROM quotas_quotanode n WHERE n.id = (r->>'node_id')::bigint)"
            ),
        ),
    ]
