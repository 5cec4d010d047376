"""The audit: one row per change, none without, none taken back."""

import pytest
from django.db import DatabaseError, connection, transaction

from apps.audit.models import AuditEvent
from apps.core.errors import NotAllowed, NotFound
from apps.core.middleware import RequestContext, current_request
from apps.quotas import services as quotas
from tests.access.judged import behind
from tests.people import Cast


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET actor_label = 'nobody'",
        "DELETE FROM audit_auditevent",
        "TRUNCATE audit_auditevent",
    ],
)
def test_what_was_written_stays(cast: Cast, statement: str) -> None:
    before = list(AuditEvent.objects.values())
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or TRUNCATE fails for another reason
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert list(AuditEvent.objects.values()) == before
    assert cast.organization.pk


def test_a_row_says_who_and_from_where(cast: Cast) -> None:
    context = RequestContext("request-1", "10.0.0.1", "api")
    held = current_request.set(context)
    try:
        quotas.set_limit(quotas.platform_node(), "cpu", 5, by=behind(cast.sre, scopes=["admin"]), reason="why")
    finally:
        current_request.reset(held)
    row = AuditEvent.objects.latest("pk")
    told = (row.actor, row.actor_label, row.origin, row.ip, row.request_id, row.reason, row.object_type)
    assert told == (cast.sre, "sre", "api", "10.0.0.1", "request-1", "why", "quotas.quotanode")
    assert str(row) == "sre set_limit quotas.quotanode the platform"


def test_what_is_refused_leaves_no_row(cast: Cast) -> None:
    node = quotas.platform_node()
    before = AuditEvent.objects.count()
    with pytest.raises((NotAllowed, NotFound)):
        quotas.set_limit(node, "cpu", 5, by=cast.alice)
    assert AuditEvent.objects.count() == before


def test_what_is_rolled_back_leaves_no_row(cast: Cast) -> None:
    before = AuditEvent.objects.count()
    with transaction.atomic():
        quotas.set_limit(quotas.platform_node(), "cpu", 5, by=cast.sre)
        transaction.set_rollback(True)
    assert AuditEvent.objects.count() == before
