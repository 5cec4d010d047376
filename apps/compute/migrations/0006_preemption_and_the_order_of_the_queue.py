"""What is preempted goes from stopping back to the queue; the queue is read in its order."""

from typing import ClassVar

from django.conf import settings
from django.db import migrations, models

from apps.audit.rows import audited

_PAIRS = {
    "queued": ("starting", "stopped", "failed"),
    "starting": ("running", "stopping", "queued", "succeeded", "failed", "stopped", "lost"),
    "running": ("stopping", "queued", "succeeded", "failed", "stopped", "lost"),
    "stopping": ("queued", "succeeded", "failed", "stopped", "lost"),
    "failed": ("queued",),
    "stopped": ("queued",),
    "lost": ("queued",),
}


def _guard(pairs: dict[str, tuple[str, ...]]) -> str:
    allowed = ", ".join(f"('{source}', '{target}')" for source, targets in pairs.items() for target in targets)
    return f"""
CREATE OR REPLACE FUNCTION check_workload_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN ({allowed}) THEN
        RAISE EXCEPTION 'workload %: % -> % is not a transition', NEW.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state_version <= OLD.state_version THEN
        RAISE EXCEPTION 'workload %: a state change without a new version', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


_BEFORE = {**_PAIRS, "stopping": tuple(state for state in _PAIRS["stopping"] if state != "queued")}


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("compute", "0005_index_of_what_ended_badly"),
        ("quotas", "0003_limits_that_cannot_be_exceeded"),
        ("teams", "0008_row_events_of_invitations"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.RunSQL(_guard(_PAIRS), _guard(_BEFORE)),
        migrations.CreateModel(
            name="PriorityClass",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.SlugField(max_length=40, unique=True)),
                ("rank", models.SmallIntegerField(help_text="-1000 to 1000; higher goes first.")),
                (
                    "open_to",
                    models.CharField(
                        choices=[
                            ("everyone", "Everyone"),
                            ("maintainers", "Maintainers of the team"),
                            ("admins", "Admins"),
                        ],
                        default="admins",
                        max_length=12,
                    ),
                ),
                ("description", models.CharField(blank=True, max_length=200)),
            ],
            options={
                "verbose_name_plural": "priority classes",
                "ordering": ["-rank", "name"],
            },
        ),
        migrations.AddField(
            model_name="workload",
            name="priority_class",
            field=models.CharField(blank=True, max_length=40),
        ),
        migrations.AddField(
            model_name="workload",
            name="rank",
            field=models.SmallIntegerField(default=0, help_text="Among everybody's work: of its priority class."),
        ),
        migrations.AddField(
            model_name="workload",
            name="resumes",
            field=models.BooleanField(
                default=False, help_text="Whether it is queued again once it has stopped: preempted."
            ),
        ),
        migrations.AlterField(
            model_name="workload",
            name="priority",
            field=models.SmallIntegerField(default=0, help_text="Among its owner's work."),
        ),
        migrations.AddIndex(
            model_name="workload",
            index=models.Index(
                condition=models.Q(("state", "queued")),
                fields=["quota_node", "-rank", "-priority", "queued_at", "id"],
                include=["desired_state"],
                name="workload_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="workload",
            index=models.Index(condition=models.Q(("state", "queued")), fields=["queued_at"], name="workload_waiting"),
        ),
        migrations.AddConstraint(
            model_name="priorityclass",
            constraint=models.CheckConstraint(
                condition=models.Q(("rank__range", (-1000, 1000))), name="priority_class_rank"
            ),
        ),
        audited("compute_priorityclass"),
    ]
