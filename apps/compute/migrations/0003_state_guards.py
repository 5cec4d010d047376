"""The database itself refuses an illegal state change, and any change of the history."""

from typing import ClassVar

from django.db import migrations

# As apps.compute.choices.TRANSITIONS was when this was written; tests/compute compares the two.
_PAIRS = {
    "queued": ("starting", "stopped", "failed"),
    "starting": ("running", "stopping", "queued", "succeeded", "failed", "stopped", "lost"),
    "running": ("stopping", "queued", "succeeded", "failed", "stopped", "lost"),
    "stopping": ("succeeded", "failed", "stopped", "lost"),
    "failed": ("queued",),
    "stopped": ("queued",),
    "lost": ("queued",),
}
_ALLOWED = ", ".join(f"('{source}', '{target}')" for source, targets in _PAIRS.items() for target in targets)

_FORWARD = f"""
CREATE FUNCTION check_workload_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) NOT IN ({_ALLOWED}) THEN
        RAISE EXCEPTION 'workload %: % -> % is not a transition', NEW.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state_version <= OLD.state_version THEN
        RAISE EXCEPTION 'workload %: a state change without a new version', NEW.id USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER workload_transition BEFORE UPDATE OF state ON compute_workload
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION check_workload_transition();
CREATE TRIGGER workload_history_append_only BEFORE UPDATE ON compute_workloadevent
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
"""
_BACKWARD = """
DROP TRIGGER workload_history_append_only ON compute_workloadevent;
DROP TRIGGER workload_transition ON compute_workload;
DROP FUNCTION check_workload_transition();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("compute", "0002_initial"), ("audit", "0002_append_only")]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
