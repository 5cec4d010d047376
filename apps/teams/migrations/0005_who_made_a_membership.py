from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("teams", "0004_row_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="membership",
            name="source",
            field=models.CharField(
                choices=[("hand", "By hand"), ("directory", "By the directory")],
                default="hand",
                editable=False,
                max_length=9,
            ),
        ),
    ]
