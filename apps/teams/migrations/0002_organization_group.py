"""An organization has a group of everybody who is in one of its teams."""

from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models


def _mirror(apps: Any, _editor: Any) -> None:
    group_model = apps.get_model("auth", "Group")
    for organization in apps.get_model("teams", "Organization").objects.all():
        group, _ = group_model.objects.get_or_create(name=f"org:{organization.slug}")
        organization.group = group
        organization.save(update_fields=["group"])
        people = apps.get_model("teams", "Membership").objects.filter(team__organization=organization)
        group.user_set.add(*people.values_list("user_id", flat=True).distinct())


def _group(*, null: bool) -> Any:
    return models.OneToOneField(
        editable=False,
        null=null,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="organization",
        to="auth.group",
    )


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0001_initial"), ("accounts", "0002_platform_roles")]
    operations: ClassVar = [
        migrations.AddField("organization", "group", _group(null=True)),
        migrations.RunPython(_mirror, migrations.RunPython.noop),
    ]
