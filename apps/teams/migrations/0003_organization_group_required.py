from typing import ClassVar

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0002_organization_group")]
    operations: ClassVar = [
        migrations.AlterField(
            "organization",
            "group",
            models.OneToOneField(
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="organization",
                to="auth.group",
            ),
        ),
    ]
