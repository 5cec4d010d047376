import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_row_events"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="external_id",
            field=models.CharField(
                blank=True,
                editable=False,
                help_text="What the source calls the person: never given anew.",
                max_length=500,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="identity_source",
            field=models.CharField(
                choices=[("local", "Fathom"), ("ldap", "LDAP"), ("oidc", "OpenID Connect")],
                default="local",
                editable=False,
                max_length=5,
            ),
        ),
        migrations.AddField(
            model_name="user",
            name="left_directory_at",
            field=models.DateTimeField(
                editable=False,
                help_text="Set while the account is disabled because the directory lost the person.",
                null=True,
            ),
        ),
        migrations.AddIndex(
            model_name="user",
            index=models.Index(django.db.models.functions.text.Upper("username"), name="user_by_name_in_any_case"),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.UniqueConstraint(
                condition=models.Q(("external_id", ""), _negated=True),
                fields=("identity_source", "external_id"),
                name="one_account_per_identity",
            ),
        ),
        migrations.AddConstraint(
            model_name="user",
            constraint=models.CheckConstraint(
                condition=models.Q(("identity_source", "local"), ("password__startswith", "!"), _connector="OR"),
                name="outside_accounts_have_no_password",
            ),
        ),
    ]
