"""What was charged wrongly is reversed, never changed."""

from typing import Any

from django.db import transaction

from apps.access import policy
from apps.audit import services as audit
from apps.budgets.choices import Account, TxKind
from apps.budgets.models import Hold, HoldPart, LedgerTx
from apps.budgets.services import books
from apps.budgets.services.books import Line, Postings
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row


@transaction.atomic
def reverse(tx: LedgerTx, *, by: Any, reason: str) -> LedgerTx:
    """Give back one charge, whole: to the node, and to every budget that it was charged to. Admins only. Audited.

    It is not charged again: what is due counts from what was posted. Raises: NotAllowed, Invalid without a reason,
    Conflict for anything but a charge, or one that was reversed.
    """
    policy.require(by, "reverse", tx)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    if tx.kind != TxKind.CHARGE or tx.hold_id is None:
        msg = "Only a charge can be reversed."
        raise Conflict(msg)
    hold = lock_row(Hold.objects.filter(pk=tx.hold_id))
    if LedgerTx.objects.filter(reverses=tx).exists():
        msg = "This charge was reversed already."
        raise Conflict(msg)
    made = _post(tx, hold, by=by, reason=reason)
    audit.record("reverse", tx, by=by, reason=reason, micros=made.entries.get(account=Account.INCOME).amount_micros)
    return made


def _post(tx: LedgerTx, hold: Hold, *, by: Any, reason: str) -> LedgerTx:
    entries = list(tx.entries.all())
    spent = {entry.period_id: entry.amount_micros for entry in entries if entry.account == Account.SPENT}
    paid = sum(entry.amount_micros for entry in entries if entry.account == Account.COST)
    lines = [
        Line(Account.COST, -paid, node_id=hold.node_id),
        Line(Account.INCOME, paid, cluster_id=hold.cluster_id),
    ]
    periods = books.lock(periods=[pk for pk in spent if pk is not None])
    parts = {part.period_id: part for part in HoldPart.objects.filter(hold=hold, period__in=spent)}
    postings = Postings()
    for period in periods:
        amount, part = spent[period.id], parts[period.id]
        period.move(spent=-amount)
        lines += [Line(Account.SPENT, -amount, period.id), Line(Account.AVAILABLE, amount, period.id)]
        postings.parts.append(
            {
                "hold_id": hold.pk, "period_id": period.id, "held_micros": part.held_micros,
                "spent_micros": part.spent_micros - amount,
            }
        )  # fmt: skip
    facts: dict[str, Any] = {"hold": hold.pk, "billable_ms": -tx.billable_ms, "reverses": tx.pk}
    postings.post(TxKind.REVERSAL, f"reversal:{tx.pk}", lines, by=str(by), reason=reason, **facts)
    postings.write(periods)
    return LedgerTx.objects.get(idem=f"reversal:{tx.pk}")
