from typing import ClassVar

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0005_row_events")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="DenialCount",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("last_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("repeats", models.BigIntegerField(db_default=0)),
                ("facts", models.JSONField()),
            ],
        ),
    ]
