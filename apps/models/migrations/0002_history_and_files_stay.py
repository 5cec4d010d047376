"""The history of moves and the files of a version are append-only; what a version was made with does not change."""

from typing import ClassVar

from django.db import migrations

_FIXED = (
    "model_id", "number", "run_id", "run_path", "source", "signature", "metrics", "params", "environment", "datasets",
    "files_count", "size_bytes", "created_by_id", "created_at",
)  # fmt: skip
_APPEND_ONLY = ("registry_move", "registry_versionfile")


def _row(name: str) -> str:
    return ", ".join(f"{name}.{column}" for column in _FIXED)


_FORWARD = f"""
    CREATE FUNCTION registry_version_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF ROW({_row("NEW")}) IS DISTINCT FROM ROW({_row("OLD")}) THEN
            RAISE EXCEPTION 'what a model version was made with does not change' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER version_stays BEFORE UPDATE OF {", ".join(_FIXED)} ON registry_modelversion
        FOR EACH ROW EXECUTE FUNCTION registry_version_stays();
    """ + "".join(
    f"""
    CREATE TRIGGER registry_append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER registry_not_truncated BEFORE TRUNCATE ON {table}
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    """
    for table in _APPEND_ONLY
)
_BACKWARD = (
    "".join(
        f"DROP TRIGGER registry_not_truncated ON {table}; DROP TRIGGER registry_append_only ON {table};"
        for table in _APPEND_ONLY
    )
    + "DROP TRIGGER version_stays ON registry_modelversion; DROP FUNCTION registry_version_stays();"
)


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("registry", "0001_models_versions_aliases_and_their_history"),
        ("audit", "0002_append_only"),
    ]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
