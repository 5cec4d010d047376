"""Resources and defaults become rows; a limit gets a ceiling that the database guards; what is used lately is counted."""

from typing import ClassVar

import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from apps.audit.rows import audited

_ORGANIZATION_OF_KEY = """
    coalesce(substring({key} FROM '^org:(\\d+)$')::bigint, audit_organization_of_team(substring({key} FROM '^team:(\\d+)')::bigint))
"""
_NODE = audited("quotas_quotanode", organization=_ORGANIZATION_OF_KEY.format(key="r->>'key'"))


def _limits(*ignore: str) -> migrations.RunSQL:
    key = "(SELECT n.key FROM quotas_quotanode n WHERE n.id = (r->>'node_id')::bigint)"
    return audited(
        "quotas_quotalimit",
        kind="quotas.quotanode",
        key="node_id",
        ignore=list(ignore),
        organization=_ORGANIZATION_OF_KEY.format(key=key),
    )


def _turned(audit: migrations.RunSQL) -> migrations.RunSQL:
    """Undo now what `audit` does, and do it on the way back."""
    return migrations.RunSQL(audit.reverse_sql or "", audit.sql)


_CEILINGS = 'UPDATE quotas_quotalimit SET ceiling = greatest("limit", used) WHERE "limit" IS NOT NULL'
_DEPTHS = "UPDATE quotas_quotanode SET depth = greatest(cardinality(path) - 1, 0)"
_NOTHING = migrations.RunSQL.noop


class Migration(migrations.Migration):
    dependencies: ClassVar = [("quotas", "0002_row_events"), ("teams", "0004_row_events")]

    operations: ClassVar = [
        # What follows is no deed of anybody's: the trail looks away meanwhile.
        _turned(_NODE),
        _turned(_limits("used")),
        migrations.CreateModel(
            name="QuotaDefault",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("platform", "Platform"),
                            ("organization", "Organization"),
                            ("team", "Team"),
                            ("user", "User"),
                            ("cluster", "Cluster"),
                            ("group", "Group"),
                        ],
                        max_length=12,
                    ),
                ),
                ("resource", models.CharField(max_length=40)),
                ("limit", models.BigIntegerField(blank=True, help_text="In base units; empty: no limit.", null=True)),
            ],
            options={
                "ordering": ["kind", "resource"],
            },
        ),
        migrations.CreateModel(
            name="Resource",
            fields=[
                (
                    "name",
                    models.CharField(
                        help_text='"gpu:a100" is counted like "gpu", in thousandths; "disk:ssd" in bytes; any other name is a count.',
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z][a-z0-9]*([:._-][a-z0-9]+)*\\Z", "Small letters and digits: gpu:a100."
                            )
                        ],
                    ),
                ),
                ("title", models.CharField(max_length=60)),
                ("position", models.PositiveSmallIntegerField(default=100)),
                (
                    "weight",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="What one unit (a CPU, a GiB, a GPU) counts in fair share, in hundredths of a CPU. 0: nothing.",
                    ),
                ),
            ],
            options={
                "ordering": ["position", "name"],
            },
        ),
        migrations.CreateModel(
            name="ShareUse",
            fields=[
                (
                    "node",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="share_use",
                        serialize=False,
                        to="quotas.quotanode",
                    ),
                ),
                ("amount", models.FloatField(default=0.0)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.AddField(
            model_name="quotalimit",
            name="borrow",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="quotalimit",
            name="ceiling",
            field=models.BigIntegerField(editable=False, null=True),
        ),
        migrations.RunSQL(_CEILINGS, _NOTHING),
        migrations.RunSQL(_DEPTHS, _NOTHING),
        migrations.AddField(
            model_name="quotanode",
            name="weight",
            field=models.PositiveIntegerField(default=1, help_text="Its share among its siblings, in fair share."),
        ),
        migrations.AddField(
            model_name="reservation",
            name="counted_until",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="Up to when its use counts in fair share.",
            ),
        ),
        migrations.AddField(
            model_name="reservation",
            name="ends_by",
            field=models.DateTimeField(help_text="When its time limit will have ended it at the latest.", null=True),
        ),
        migrations.AlterField(
            model_name="quotanode",
            name="depth",
            field=models.PositiveSmallIntegerField(help_text="How many nodes are above it."),
        ),
        migrations.AlterField(
            model_name="quotanode",
            name="kind",
            field=models.CharField(
                choices=[
                    ("platform", "Platform"),
                    ("organization", "Organization"),
                    ("team", "Team"),
                    ("user", "User"),
                    ("cluster", "Cluster"),
                    ("group", "Group"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddIndex(
            model_name="reservation",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("released_at", None)), fields=["node_ids"], name="reservation_live_below"
            ),
        ),
        migrations.AddConstraint(
            model_name="quotalimit",
            constraint=models.CheckConstraint(condition=models.Q(("borrow__gte", 0)), name="quota_borrow_not_negative"),
        ),
        migrations.AddConstraint(
            model_name="quotalimit",
            constraint=models.CheckConstraint(
                condition=models.Q(("ceiling", None), ("used__lte", models.F("ceiling")), _connector="OR"),
                name="quota_not_exceeded",
            ),
        ),
        migrations.AddConstraint(
            model_name="quotalimit",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ceiling", None), ("limit", None)),
                    models.Q(("ceiling__isnull", False), ("limit__isnull", False)),
                    _connector="OR",
                ),
                name="quota_limit_has_ceiling",
            ),
        ),
        migrations.AddConstraint(
            model_name="quotanode",
            constraint=models.CheckConstraint(condition=models.Q(("weight__gte", 1)), name="quota_weight_positive"),
        ),
        migrations.AddConstraint(
            model_name="quotadefault",
            constraint=models.UniqueConstraint(fields=("kind", "resource"), name="one_default_per_kind"),
        ),
        migrations.AddConstraint(
            model_name="quotadefault",
            constraint=models.CheckConstraint(condition=models.Q(("limit__gte", 0)), name="quota_default_not_negative"),
        ),
        _NODE,
        _limits("used", "ceiling"),
        audited("quotas_resource", key="name"),
        audited("quotas_quotadefault"),
    ]
