"""The database itself refuses a posting that does not add up, and any change of what was posted or priced."""

from typing import ClassVar

from django.db import migrations

_FORWARD = """
CREATE FUNCTION ledger_adds_up() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE total numeric;
BEGIN
    SELECT sum(amount_micros) INTO total FROM budgets_ledgerentry WHERE tx_id = NEW.tx_id;
    IF total <> 0 THEN
        RAISE EXCEPTION 'posting % is out of balance by %', NEW.tx_id, total USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER ledger_adds_up AFTER INSERT ON budgets_ledgerentry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_adds_up();

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON budgets_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_not_truncated BEFORE TRUNCATE ON budgets_ledgerentry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON budgets_ledgertx
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER ledger_not_truncated BEFORE TRUNCATE ON budgets_ledgertx
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER prices_append_only BEFORE UPDATE OR DELETE ON budgets_price
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER prices_not_truncated BEFORE TRUNCATE ON budgets_price
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""
_BACKWARD = """
DROP TRIGGER prices_not_truncated ON budgets_price;
DROP TRIGGER prices_append_only ON budgets_price;
DROP TRIGGER ledger_not_truncated ON budgets_ledgertx;
DROP TRIGGER ledger_append_only ON budgets_ledgertx;
DROP TRIGGER ledger_not_truncated ON budgets_ledgerentry;
DROP TRIGGER ledger_append_only ON budgets_ledgerentry;
DROP TRIGGER ledger_adds_up ON budgets_ledgerentry;
DROP FUNCTION ledger_adds_up();
"""


class Migration(migrations.Migration):
    dependencies: ClassVar = [("budgets", "0001_initial"), ("audit", "0002_append_only")]
    operations: ClassVar = [migrations.RunSQL(_FORWARD, _BACKWARD)]
