"""Whether somebody acts as an admin is asked of his session or token, not of a column."""

from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("accounts", "0002_platform_roles")]
    operations: ClassVar = [
        migrations.RemoveField("user", "is_superuser"),
        migrations.RemoveField("user", "is_staff"),
    ]
