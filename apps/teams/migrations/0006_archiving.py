"""Organizations and teams can be archived."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("teams", "0005_who_made_a_membership"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="archived_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="team",
            name="archived_at",
            field=models.DateTimeField(editable=False, help_text="It takes no new work and no new members.", null=True),
        ),
    ]
