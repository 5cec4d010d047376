"""Projects have numbers for MLflow's client, and runs the data and the models that it tells of."""

import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
from django.conf import settings
from django.db import migrations, models

import apps.core.ids


class Migration(migrations.Migration):
    dependencies = [
        ("teams", "0008_row_events_of_invitations"),
        ("tracking", "0004_row_events"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="LoggedModel",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("is_alone", models.BooleanField(default=False)),
                ("name", models.CharField(max_length=250)),
                ("model_type", models.CharField(blank=True, max_length=250)),
                (
                    "status",
                    models.CharField(
                        choices=[("pending", "Pending"), ("ready", "Ready"), ("failed", "Failed")],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("params", models.JSONField(default=dict)),
                ("tags", models.JSONField(default=dict)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("archived_at", models.DateTimeField(editable=False, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ModelMetric",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=250)),
                ("dataset_name", models.CharField(blank=True, max_length=500)),
                ("dataset_digest", models.CharField(blank=True, max_length=64)),
                ("value", models.FloatField()),
                ("step", models.BigIntegerField()),
                ("time", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="ProjectTag",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("key", models.CharField(max_length=250)),
                ("value", models.TextField(blank=True)),
            ],
        ),
        migrations.CreateModel(
            name="RunDataset",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=500)),
                ("digest", models.CharField(max_length=64)),
                ("source_type", models.CharField(max_length=64)),
                ("source", models.TextField()),
                ("schema", models.TextField(blank=True)),
                ("profile", models.TextField(blank=True)),
                ("context", models.CharField(blank=True, max_length=250)),
                ("tags", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="RunModel",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("direction", models.CharField(choices=[("input", "Input"), ("output", "Output")], max_length=6)),
                ("step", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.RemoveIndex(
            model_name="tag",
            name="tag_lookup",
        ),
        migrations.AddField(
            model_name="metricseries",
            name="project",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="tracking.project",
            ),
        ),
        # What logs meanwhile through an older process writes none; the next batch of the series does.
        migrations.RunSQL(
            "UPDATE tracking_metricseries AS s SET project_id = r.project_id FROM tracking_run AS r WHERE r.id = s.run_id",
            migrations.RunSQL.noop,
        ),
        migrations.RunSQL("CREATE SEQUENCE tracking_project_number AS bigint", "DROP SEQUENCE tracking_project_number"),
        migrations.AddField(
            model_name="project",
            name="number",
            field=models.BigIntegerField(
                db_default=models.Func(models.Value("tracking_project_number"), function="nextval"),
                editable=False,
                unique=True,
            ),
        ),
        migrations.AddField(
            model_name="project",
            name="updated_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
        ),
        migrations.AddField(
            model_name="run",
            name="started_at",
            field=models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
        ),
        migrations.RunSQL("UPDATE tracking_run SET started_at = created_at", migrations.RunSQL.noop),
        migrations.AddIndex(
            model_name="metricseries",
            index=models.Index(fields=["project", "key", "last_value"], include=["run"], name="series_ranking"),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(fields=["project", "-started_at", "id"], name="run_of_project_by_start"),
        ),
        migrations.AddIndex(
            model_name="tag",
            index=models.Index(models.F("key"), django.db.models.functions.text.Left("value", 250), name="tag_lookup"),
        ),
        migrations.AddIndex(
            model_name="param",
            index=models.Index(
                models.F("key"), django.db.models.functions.text.Left("value", 250), name="param_lookup"
            ),
        ),
        migrations.AddField(
            model_name="loggedmodel",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="logged_models", to="tracking.run"
            ),
        ),
        migrations.AddField(
            model_name="modelmetric",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="metrics", to="tracking.loggedmodel"
            ),
        ),
        migrations.AddField(
            model_name="modelmetric",
            name="run",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tracking.run"),
        ),
        migrations.AddField(
            model_name="projecttag",
            name="project",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="tracking.project"
            ),
        ),
        migrations.AddField(
            model_name="rundataset",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="datasets", to="tracking.run"
            ),
        ),
        migrations.AddField(
            model_name="runmodel",
            name="model",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="uses", to="tracking.loggedmodel"
            ),
        ),
        migrations.AddField(
            model_name="runmodel",
            name="run",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="models", to="tracking.run"
            ),
        ),
        migrations.AddConstraint(
            model_name="modelmetric",
            constraint=models.UniqueConstraint(
                fields=("model", "run", "key", "dataset_name", "dataset_digest"), name="one_metric_per_model"
            ),
        ),
        migrations.AddConstraint(
            model_name="projecttag",
            constraint=models.UniqueConstraint(fields=("project", "key"), name="one_project_tag_per_key"),
        ),
        migrations.AddIndex(
            model_name="rundataset",
            index=models.Index(fields=["name", "digest"], name="dataset_lookup"),
        ),
        migrations.AddConstraint(
            model_name="rundataset",
            constraint=models.UniqueConstraint(fields=("run", "name", "digest"), name="one_dataset_per_run"),
        ),
        migrations.AddConstraint(
            model_name="runmodel",
            constraint=models.UniqueConstraint(fields=("run", "model", "direction"), name="one_use_per_model"),
        ),
    ]
