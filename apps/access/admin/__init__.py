"""What the operators' admin is made of: guarded model admins, actions with a reason, and how values are shown."""

from apps.access.admin.guarded import GuardedAdmin, RecordAdmin
from apps.access.admin.inlines import LatestInline
from apps.access.admin.reasons import Reasoned, ShownOnce

__all__ = ["GuardedAdmin", "LatestInline", "Reasoned", "RecordAdmin", "ShownOnce"]
