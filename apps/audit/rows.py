"""Tables whose every change a trigger writes into the trail: bulk, raw SQL, the shell and psql included.

An app declares its table in a migration of its own:

    operations = [audited("app_table", secret=["password"], ignore=["last_seen_at"])]

The row event is written in the same transaction, with `txid` equal to that of the service's own event: the one tells who
and why, the other what changed. A later column is watched by itself; only a secret one needs a new declaration.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import connection, migrations

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Watched:
    """What of one table is written down, and under which object."""

    table: str
    kind: str
    key: str
    secret: Sequence[str] = field(default_factory=list)
    ignore: Sequence[str] = field(default_factory=list)
    organization: str = "NULL"
    unless: str = ""

    def create(self) -> str:
        """Return the SQL that watches the table, replacing an earlier declaration."""
        changed = "to_jsonb(NEW) - {0} IS DISTINCT FROM to_jsonb(OLD) - {0}".format(_array(self.ignore))
        return f"""
            {self.drop()}
            CREATE FUNCTION {self.function}() RETURNS trigger LANGUAGE plpgsql AS $audit$
            DECLARE
                before jsonb := CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END;
                after jsonb := CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN to_jsonb(NEW) END;
                r jsonb := coalesce(after, before);
            BEGIN
                PERFORM audit_note_row(TG_OP, TG_TABLE_NAME, '{self.kind}', r->>'{self.key}', ({self.organization})::bigint,
                                       before, after, {_array(self.secret)}, {_array(self.ignore)});
                RETURN NULL;
            END $audit$;
            CREATE TRIGGER audit_insert AFTER INSERT ON {self.table} FOR EACH ROW
                {self._when("NEW")} EXECUTE FUNCTION {self.function}();
            CREATE TRIGGER audit_update AFTER UPDATE ON {self.table} FOR EACH ROW
                {self._when("NEW", "OLD", condition=changed)} EXECUTE FUNCTION {self.function}();
            CREATE TRIGGER audit_delete AFTER DELETE ON {self.table} FOR EACH ROW
                {self._when("OLD")} EXECUTE FUNCTION {self.function}();
            CREATE TRIGGER audit_truncate AFTER TRUNCATE ON {self.table} FOR EACH STATEMENT
                EXECUTE FUNCTION {self.function}();
        """

    def drop(self) -> str:
        """Return the SQL that no longer watches the table."""
        return f"DROP FUNCTION IF EXISTS {self.function}() CASCADE;"

    @property
    def function(self) -> str:
        return f"audit_rows_{self.table}"

    def _when(self, *rows: str, condition: str = "") -> str:
        exempt = " AND ".join(f"({self.unless.format(row=row)})" for row in rows) if self.unless else ""
        conditions = " AND ".join(f"({part})" for part in (exempt and f"NOT ({exempt})", condition) if part)
        return f"WHEN ({conditions})" if conditions else ""


def audited(
    table: str,
    *,
    kind: str = "",
    key: str = "id",
    secret: Sequence[str] = (),
    ignore: Sequence[str] = (),
    organization: str = "NULL",
    unless: str = "",
) -> migrations.RunSQL:
    """Return the migration operation that has every change of `table` written into the trail.

    `secret` columns are shown as "changed" only. A change of nothing but `ignore` columns is no event. `kind` ("app.model",
    by default read from the table's name) and `key` (the column with its id) name the object under whose history the change
    belongs: a membership is filed under its team. `organization` is a SQL expression for the id of the chain, in which `r`
    is the row as jsonb: `audit_organization_of_team((r->>'team_id')::bigint)`. `unless` is a condition on `{row}` under
    which nothing is written: for rows that hot paths make. The migration depends on ("audit", "0005_row_events").
    """
    kind = kind or table.replace("_", ".", 1)
    for name in (table, key, *secret, *ignore, *kind.split(".")):
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is no plain name"
            raise ValueError(msg)
    watched = Watched(table, kind, key, secret, ignore, organization, unless)
    return migrations.RunSQL(watched.create(), watched.drop())


def unwatched() -> list[str]:
    """Name every trigger of the trail that is switched off or gone: whatever it guards goes by unseen."""
    with connection.cursor() as cursor:
        cursor.execute(_UNWATCHED)
        return [name for (name,) in cursor.fetchall()]


def _array(names: Sequence[str]) -> str:
    return "ARRAY[{}]::text[]".format(", ".join(f"'{name}'" for name in names))


_UNWATCHED = """
    WITH expected (table_name, trigger_name) AS (
        SELECT substr(proname, length('audit_rows_') + 1), unnest(ARRAY['audit_insert', 'audit_update', 'audit_delete', 'audit_truncate'])
          FROM pg_proc WHERE starts_with(proname, 'audit_rows_') AND pronamespace = current_schema()::regnamespace
        UNION ALL VALUES ('audit_auditevent', 'audit_append_only'), ('audit_auditevent', 'audit_not_truncated'),
                         ('audit_auditseal', 'audit_append_only'), ('audit_auditseal', 'audit_not_truncated')
    )
    SELECT table_name || '.' || trigger_name FROM expected
     WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(table_name) AND tgname = trigger_name AND tgenabled IN ('O', 'A'))
     ORDER BY 1
"""
