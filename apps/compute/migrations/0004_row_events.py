"""Every change of a cluster's registration is written into the trail by the database; what it says of itself is not."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


class Migration(migrations.Migration):
    dependencies: ClassVar = [("compute", "0003_state_guards"), ("audit", "0005_row_events")]

    operations: ClassVar = [
        audited(
            "compute_cluster",
            secret=["settings"],  # some of a backend's settings are passwords
            ignore=["state", "message", "warnings", "capabilities", "capacity", "checked_at"],
        ),
    ]
