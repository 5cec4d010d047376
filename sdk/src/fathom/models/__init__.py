"""What the platform returns, as frozen dataclasses.

Each is made by `from_json` and keeps the answer it was made from in `raw`, so that a field which a newer platform added
is not lost. Times are aware datetimes, durations seconds, sizes bytes.
"""

from fathom.models.access import Access, AccessLine, AccessPath, AccessRequest, Why
from fathom.models.audit import AuditEvent
from fathom.models.credentials import CREDENTIAL_KINDS, Credential, CredentialField, CredentialUse
from fathom.models.directory import Amount, Cluster, Me, Member, QueueEntry, Session, Team, Token, Usage, UsageNode
from fathom.models.identities import DirectoryChange, DirectoryPlan, DirectoryRule, DirectorySync
from fathom.models.money import Budget, BudgetPeriod, Posting, Price, in_money, to_micros
from fathom.models.people import (
    Effect,
    ImportLine,
    ImportReport,
    Invitation,
    Offboarding,
    Organization,
    Registration,
    ServiceAccount,
    User,
)
from fathom.models.work import (
    ACTIVE_STATES,
    FINAL_STATES,
    Artifact,
    Attempt,
    CodeUpload,
    Event,
    Experiment,
    LogChunk,
    MetricPoint,
    MetricSeries,
    MetricSummary,
    Project,
    Ref,
    Run,
)

__all__ = [
    "ACTIVE_STATES",
    "CREDENTIAL_KINDS",
    "FINAL_STATES",
    "Access",
    "AccessLine",
    "AccessPath",
    "AccessRequest",
    "Amount",
    "Artifact",
    "Attempt",
    "AuditEvent",
    "Budget",
    "BudgetPeriod",
    "Cluster",
    "CodeUpload",
    "Credential",
    "CredentialField",
    "CredentialUse",
    "DirectoryChange",
    "DirectoryPlan",
    "DirectoryRule",
    "DirectorySync",
    "Effect",
    "Event",
    "Experiment",
    "ImportLine",
    "ImportReport",
    "Invitation",
    "LogChunk",
    "Me",
    "Member",
    "MetricPoint",
    "MetricSeries",
    "MetricSummary",
    "Offboarding",
    "Organization",
    "Posting",
    "Price",
    "Project",
    "QueueEntry",
    "Ref",
    "Registration",
    "Run",
    "ServiceAccount",
    "Session",
    "Team",
    "Token",
    "Usage",
    "UsageNode",
    "User",
    "Why",
    "in_money",
    "to_micros",
]
