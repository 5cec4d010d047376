import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("accounts", "0006_why_a_login_failed"),
        ("teams", "0005_who_made_a_membership"),
    ]

    operations = [
        migrations.CreateModel(
            name="DirectoryPerson",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="directory_person",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("groups", models.JSONField(default=list)),
                ("seen_at", models.DateTimeField()),
                ("given_platform_role", models.CharField(blank=True, max_length=8)),
            ],
        ),
        migrations.CreateModel(
            name="DirectorySync",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[("done", "Done"), ("held", "Held back"), ("failed", "Failed")], max_length=6
                    ),
                ),
                ("asked_by", models.CharField(max_length=150)),
                ("counts", models.JSONField(default=dict)),
                ("message", models.TextField(blank=True)),
                ("changes", models.JSONField(default=list)),
            ],
            options={
                "verbose_name": "directory sync",
            },
        ),
        migrations.CreateModel(
            name="DirectoryRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "source",
                    models.CharField(
                        choices=[("ldap", "LDAP"), ("oidc", "OpenID Connect")],
                        default="ldap",
                        max_length=5,
                        verbose_name="directory",
                    ),
                ),
                (
                    "group",
                    models.CharField(
                        help_text="An LDAP group's DN or name, or a value of the groups claim.", max_length=500
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        blank=True,
                        choices=[("viewer", "Viewer"), ("member", "Member"), ("maintainer", "Maintainer")],
                        max_length=10,
                        verbose_name="role in the team",
                    ),
                ),
                (
                    "platform_role",
                    models.CharField(
                        blank=True,
                        choices=[("", "None"), ("admin", "Admin"), ("auditor", "Auditor")],
                        default="",
                        max_length=8,
                    ),
                ),
                ("order", models.PositiveIntegerField(default=100, help_text="The lowest comes first.")),
                ("enabled", models.BooleanField(default=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "team",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="directory_rules",
                        to="teams.team",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("role", ""), ("team", None), models.Q(("platform_role", ""), _negated=True)),
                            models.Q(
                                ("platform_role", ""), ("team__isnull", False), models.Q(("role", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="rule_gives_one_thing",
                        violation_error_message="Name a team with a role, or a platform role; one of them.",
                    ),
                    models.UniqueConstraint(
                        fields=("source", "group", "team"), name="one_rule_per_group_and_team", nulls_distinct=False
                    ),
                ],
            },
        ),
    ]
