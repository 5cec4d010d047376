"""What a workload may use at most is kept with it: an owner's smaller work goes first. What waits already goes before that."""

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("compute", "0006_preemption_and_the_order_of_the_queue")]

    operations: ClassVar = [
        migrations.RemoveIndex(model_name="workload", name="workload_queue"),
        migrations.AddField(
            model_name="workload",
            name="size",
            field=models.FloatField(db_default=0.0, help_text="What it may use at most, as fair share counts it."),
        ),
        migrations.AddIndex(
            model_name="workload",
            index=models.Index(
                fields=["quota_node", "-rank", "-priority", "size", "queued_at", "id"],
                name="workload_queue",
                condition=models.Q(state="queued"),
                include=["desired_state"],
            ),
        ),
    ]
