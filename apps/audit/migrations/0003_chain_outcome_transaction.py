"""Whose chain an event is in, whether it was refused, for whom it was done, and in which transaction."""

from typing import ClassVar

import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import apps.audit.models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0002_append_only"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations: ClassVar = [
        migrations.AddField("auditevent", "organization_id", models.BigIntegerField(null=True)),
        migrations.AddField("auditevent", "on_behalf_of", models.CharField(blank=True, db_default="", max_length=150)),
        migrations.AddField(
            "auditevent",
            "outcome",
            models.CharField(choices=[("ok", "Ok"), ("denied", "Denied")], db_default="ok", max_length=6),
        ),
        # Two steps: a default that is given with the column would give the rows that exist the migration's transaction.
        migrations.AddField("auditevent", "txid", models.BigIntegerField(null=True)),
        migrations.AlterField(
            "auditevent", "txid", models.BigIntegerField(db_default=apps.audit.models.CurrentTransaction(), null=True)
        ),
        migrations.AlterField(
            "auditevent",
            "actor",
            models.ForeignKey(
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            "auditevent", models.Index(fields=["organization_id", "-id"], name="audit_of_organization")
        ),
        migrations.AddIndex("auditevent", models.Index(fields=["txid"], name="audit_of_transaction")),
        migrations.AddIndex(
            "auditevent",
            models.Index(fields=["request_id"], name="audit_of_request", condition=~models.Q(request_id="")),
        ),
        migrations.AddIndex(
            "auditevent", models.Index(fields=["-id"], name="audit_denied", condition=models.Q(outcome="denied"))
        ),
        migrations.AddIndex("auditevent", django.contrib.postgres.indexes.BrinIndex(fields=["at"], name="audit_at")),
    ]
