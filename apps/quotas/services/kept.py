"""What is kept rather than run: counted at once, along the whole path, and refused with the numbers.

Work that does not fit waits; a file that does not fit is refused, since somebody stands at its other end. What a place
keeps is one reservation without an end, so that everything that reads reservations counts it too.
"""

from typing import Any

from django.db import connection

from apps.accounts.models import User
from apps.core.errors import Conflict, OverQuota
from apps.core.ids import new_id
from apps.quotas.books import Full
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import QuotaNode
from apps.quotas.services.admission import lock, look
from apps.teams.choices import TeamRole

_MANAGES = 20  # how many of those who can change a limit are named

# A reservation that nothing ends, and that fair share does not count.
_COUNT = """
    WITH here AS MATERIALIZED (SELECT 1 FROM quotas_quotanode WHERE id = %(node)s AND path = %(nodes)s::bigint[]),
    counted AS (
        UPDATE quotas_quotalimit SET used = used + %(more)s,
               ceiling = CASE WHEN %(more)s < 0 AND "limit" IS NOT NULL THEN greatest("limit" + borrow, used + %(more)s)
                              ELSE ceiling END
         WHERE node_id = ANY(%(nodes)s) AND resource = %(resource)s AND EXISTS (SELECT 1 FROM here))
    INSERT INTO quotas_reservation AS r (id, key, node_id, node_ids, amounts, counted_until)
    SELECT %(id)s::uuid, %(key)s, %(node)s, %(nodes)s::bigint[], jsonb_build_object(%(resource)s::text, %(more)s::bigint),
           '9999-01-01'::timestamptz FROM here
        ON CONFLICT (key) DO UPDATE SET released_at = NULL, node_ids = excluded.node_ids,
           amounts = r.amounts || jsonb_build_object(%(resource)s::text, coalesce((r.amounts ->> %(resource)s)::bigint, 0) + %(more)s::bigint)
     RETURNING 1
"""


def keep(node: QuotaNode, resource: str, more: int) -> None:
    """Count so much more of `resource` (less, below zero) at `node` and all above it, in the caller's transaction.

    LOCKING: the limit rows in the one order; take what else the transaction locks before, and wait for nothing after.
    Raises: OverQuota, with the numbers and who can change them; Conflict when the place was moved meanwhile.
    """
    if more == 0:
        return
    books = lock(node.path, [resource])
    if more > 0 and (full := books.full(node.path, {resource: more})) is not None:
        raise _over(full)
    facts: dict[str, Any] = {"id": new_id(), "key": key_of(node), "node": node.pk, "nodes": list(node.path)}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**facts, "resource": resource, "more": more})
        if cursor.fetchone() is None:
            msg = f"{node} was moved in the quota tree meanwhile. Try again."
            raise Conflict(msg)


def require_room(node: QuotaNode, resource: str, more: int) -> None:
    """Refuse early what would not fit as things stand. Locks and promises nothing. Raises: OverQuota."""
    if more > 0 and (full := look(node.path, [resource]).full(node.path, {resource: more})) is not None:
        raise _over(full)


def key_of(node: QuotaNode) -> str:
    """Return the key of the reservation that says what a place keeps."""
    return f"kept:{node.key}"[:100]


def who_can_change(node_id: int) -> list[str]:
    """Name who can change a limit: an admin; for what a team hands out to its members, its maintainers as well."""
    parent = QuotaNode.objects.filter(children=node_id, kind=NodeKind.TEAM).values_list("key", flat=True).first()
    if parent is None:
        return ["an admin"]
    team = int(parent.partition(":")[2])
    maintainers = User.objects.filter(memberships__team_id=team, memberships__role=TeamRole.MAINTAINER, is_active=True)
    return [*maintainers.order_by("username").values_list("username", flat=True)[:_MANAGES], "an admin"]


def _over(full: Full) -> OverQuota:
    """SECURITY: how much others use of a limit that tenants share is told to nobody."""
    who = who_can_change(full.node_id)
    unit = words(full.resource)
    have = f"{in_units(full.resource, full.limit)} {unit}"
    need = in_units(full.resource, full.need)
    used = "has too little free of its" if full.is_shared else f"uses {in_units(full.resource, full.used)} of its"
    named = f"{', '.join(who[:-1])} or {who[-1]}" if len(who) > 1 else who[0]
    told: dict[str, Any] = {"resource": full.resource, "limit": full.limit, "need": full.need, "who": who}
    if not full.is_shared:
        told["used"] = full.used
    msg = f"{full.node} {used} {have}, and this needs {need} more. {named[0].upper()}{named[1:]} can change that."
    return OverQuota(msg, **told)
