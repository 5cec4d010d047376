"""Every change of prices and budgets is written into the trail by the database; what is held and spent is in the ledger."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited

# A node's key says whose it is: "org:1", "team:7", "team:7/user:3"; anything else is the platform's.
_ORGANIZATION = """
    (SELECT coalesce(substring(n.key FROM '^org:(\\d+)$')::bigint,
                     audit_organization_of_team(substring(n.key FROM '^team:(\\d+)')::bigint))
       FROM quotas_quotanode n WHERE n.id = {node})
"""
_OF_PERIOD = "(SELECT b.node_id FROM budgets_budget b WHERE b.id = (r->>'budget_id')::bigint)"


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("budgets", "0002_ledger_guards"),
        ("quotas", "0002_row_events"),
        ("teams", "0004_row_events"),
        ("audit", "0005_row_events"),
    ]

    operations: ClassVar = [
        audited("budgets_price"),
        audited("budgets_budget", organization=_ORGANIZATION.format(node="(r->>'node_id')::bigint")),
        audited(
            "budgets_period",
            kind="budgets.budget",
            key="budget_id",
            ignore=["held_micros", "spent_micros", "lapsed_micros", "version"],
            organization=_ORGANIZATION.format(node=_OF_PERIOD),
        ),
    ]
