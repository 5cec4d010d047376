from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_who_vouches_for_an_account")]

    operations = [
        migrations.AddField(
            model_name="loginfailure",
            name="reason",
            field=models.CharField(blank=True, max_length=300),
        ),
    ]
