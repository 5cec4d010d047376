"""What came from what is never changed, nor what a node's id was made of."""

from typing import ClassVar

from django.db import migrations

_TABLES = ("lineage_lineageedge", "lineage_lineagething")
_FORWARD = "".join(
    f"""
    CREATE TRIGGER lineage_append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER lineage_not_truncated BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    """
    for table in _TABLES
)
_BACKWARD = "".join(
    f"DROP TRIGGER lineage_not_truncated ON {table}; DROP TRIGGER lineage_append_only ON {table};" for table in _TABLES
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [("lineage", "0001_nodes_and_edges"), ("audit", "0002_append_only")]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
