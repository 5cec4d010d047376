"""What an environment is made of, and its locks, are append-only."""

from typing import ClassVar

from django.db import migrations

_TABLES = ("environments_environmentversion", "environments_environmentlock")
_FORWARD = "".join(
    f"""
    CREATE TRIGGER environment_append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER environment_not_truncated BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    """
    for table in _TABLES
)
_BACKWARD = "".join(
    f"DROP TRIGGER environment_not_truncated ON {table}; DROP TRIGGER environment_append_only ON {table};"
    for table in _TABLES
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("environments", "0001_environments_versions_locks_and_builds"),
        ("audit", "0002_append_only"),
    ]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
