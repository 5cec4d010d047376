from typing import Any

import django.db.models.deletion
from django.db import migrations, models


def _project() -> Any:
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=True,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to="tracking.project",
    )


def _fill(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"UPDATE {table} AS t SET project_id = r.project_id FROM tracking_run AS r WHERE r.id = t.run_id",  # noqa: S608 -- a constant
        migrations.RunSQL.noop,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("tracking", "0007_what_is_there_counts"),
    ]

    operations = [
        migrations.AddField(model_name="param", name="project", field=_project()),
        migrations.AddField(model_name="tag", name="project", field=_project()),
        _fill("tracking_param"),
        _fill("tracking_tag"),
        migrations.AddIndex(model_name="param", index=models.Index(fields=["project", "key"], name="param_keys")),
        migrations.AddIndex(model_name="tag", index=models.Index(fields=["project", "key"], name="tag_keys")),
    ]
