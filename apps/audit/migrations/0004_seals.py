"""The hash chains, as append-only as what they seal."""

from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models

_FORWARD = """
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_auditseal
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_not_truncated BEFORE TRUNCATE ON audit_auditseal
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
_BACKWARD = """
DROP TRIGGER audit_append_only ON audit_auditseal;
DROP TRIGGER audit_not_truncated ON audit_auditseal;
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0003_chain_outcome_transaction")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="AuditSeal",
            fields=[
                (
                    "event",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        primary_key=True,
                        related_name="seal",
                        serialize=False,
                        to="audit.auditevent",
                    ),
                ),
                ("organization_id", models.BigIntegerField(null=True)),
                ("seq", models.BigIntegerField()),
                ("prev_hash", models.BinaryField(max_length=32)),
                ("hash", models.BinaryField(max_length=32)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization_id", "seq"), name="one_seal_per_link", nulls_distinct=False
                    )
                ],
            },
        ),
        migrations.RunSQL(_FORWARD, _BACKWARD),
    ]
