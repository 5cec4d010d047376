from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from typing_extensions import override

from apps.audit.choices import LOOKS_AND_EXPORTS, ROW_ACTIONS, Outcome

# What somebody did. Triggers tell the same once more, table by table.
DONE = models.Q(outcome=Outcome.OK) & ~models.Q(action__in=ROW_ACTIONS)


class CurrentTransaction(models.Func):
    """The id of the present transaction: equal in everything that one transaction writes."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field: Any = models.BigIntegerField()


class AuditEvent(models.Model):
    """Who did what to which object, through which door. Append-only in the database itself.

    Two kinds of rows: what somebody did or tried (`services.record`, `services.record_denied`), and what a trigger saw
    change in a table (`rows.audited`; action "row.…"). `txid` ties the two together.
    """

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=models.functions.Now())
    organization_id = models.BigIntegerField(null=True)  # whose chain it is sealed in; null: the platform's own
    # `audit_of_actor` begins with the same column.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    actor_label = models.CharField(max_length=150)
    on_behalf_of = models.CharField(max_length=150, blank=True, db_default="")
    token_id = models.UUIDField(null=True)
    origin = models.CharField(max_length=12)
    ip = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    object_label = models.CharField(max_length=200, blank=True)
    outcome = models.CharField(max_length=6, choices=Outcome, db_default=Outcome.OK)
    reason = models.TextField(blank=True)
    data = models.JSONField(default=dict)
    txid = models.BigIntegerField(null=True, db_default=CurrentTransaction())

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["object_type", "object_id", "-id"], name="audit_of_object"),
            models.Index(fields=["actor", "-id"], name="audit_of_actor"),
            models.Index(fields=["organization_id", "-id"], name="audit_of_organization"),
            models.Index(fields=["txid"], name="audit_of_transaction"),
            models.Index(fields=["request_id"], name="audit_of_request", condition=~models.Q(request_id="")),
            models.Index(fields=["-id"], name="audit_denied", condition=models.Q(outcome=Outcome.DENIED)),
            # The day of the operators' front page, without a look at the rows.
            models.Index(fields=["-at", "origin", "action", "object_type"], name="audit_done", condition=DONE),
            models.Index(
                fields=["-id"], name="audit_looks_and_exports", condition=models.Q(action__in=LOOKS_AND_EXPORTS)
            ),
            BrinIndex(fields=["at"], name="audit_at"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label} {self.action} {self.object_type} {self.object_label or self.object_id}"


class AuditSeal(models.Model):
    """A link of an organization's hash chain: seals one event, and through `prev_hash` all before it. Append-only."""

    # No constraint: it would lock each event, and a deleted event is to be named, not to be impossible.
    event = models.OneToOneField(
        AuditEvent, on_delete=models.DO_NOTHING, primary_key=True, db_constraint=False, related_name="seal"
    )
    organization_id = models.BigIntegerField(null=True)
    seq = models.BigIntegerField()
    prev_hash = models.BinaryField(max_length=32)
    hash = models.BinaryField(max_length=32)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["organization_id", "seq"], name="one_seal_per_link", nulls_distinct=False)
        ]

    @override
    def __str__(self) -> str:
        return f"{self.organization_id or 'platform'} {self.seq}"


class DenialCount(models.Model):
    """How often the same attempt was refused since its first refusal was written; folded into the trail a minute later."""

    key = models.CharField(max_length=64, primary_key=True)
    since = models.DateTimeField(db_default=models.functions.Now())
    last_at = models.DateTimeField(db_default=models.functions.Now())
    repeats = models.BigIntegerField(db_default=0)
    facts = models.JSONField()

    @override
    def __str__(self) -> str:
        return f"{self.repeats} more"
