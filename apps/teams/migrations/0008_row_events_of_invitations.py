"""Every change of an invitation is written into the trail by the database."""

from typing import ClassVar

from django.db import migrations

from apps.audit.rows import audited


class Migration(migrations.Migration):
    dependencies: ClassVar = [("teams", "0007_invitations"), ("teams", "0004_row_events")]

    operations: ClassVar = [audited("teams_invitation", secret=["digest"])]
