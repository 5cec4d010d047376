"""The function by which triggers on other tables write what changed. `apps.audit.rows.audited` makes the triggers."""

from typing import ClassVar

from django.db import migrations

_FORWARD = """
CREATE FUNCTION audit_note_row(op text, source text, kind text, id text, organization bigint, before jsonb, after jsonb,
                               secret text[], ignored text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    was jsonb;
    now_is jsonb;
BEGIN
    SELECT coalesce(jsonb_object_agg(k, CASE WHEN k = ANY(secret) THEN '"changed"' ELSE before->k END)
                    FILTER (WHERE op = 'UPDATE' OR coalesce(before->k, 'null') <> 'null'), '{}'),
           coalesce(jsonb_object_agg(k, CASE WHEN k = ANY(secret) THEN '"changed"' ELSE after->k END)
                    FILTER (WHERE op = 'UPDATE' OR coalesce(after->k, 'null') <> 'null'), '{}')
      INTO was, now_is
      FROM jsonb_object_keys(coalesce(after, before)) AS k
     WHERE k <> ALL(ignored) AND before->k IS DISTINCT FROM after->k;
    INSERT INTO audit_auditevent (organization_id, actor_label, origin, request_id, action, object_type, object_id,
                                  object_label, reason, data)
    VALUES (organization, 'database', 'database', '', 'row.' || lower(op), kind, coalesce(id, ''), '', '',
            jsonb_build_object('table', source, 'before', was, 'after', now_is, 'session_user', session_user,
                               'application', current_setting('application_name'))
            || CASE WHEN coalesce(after, before) ? 'id' AND coalesce(after, before)->>'id' IS DISTINCT FROM id
                    THEN jsonb_build_object('row', coalesce(after, before)->'id') ELSE '{}' END);
END $$;
"""
_BACKWARD = """
DROP FUNCTION audit_note_row(text, text, text, text, bigint, jsonb, jsonb, text[], text[]);
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0004_seals")]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
