"""What the operators' admin is made of: guarded model admins, actions with a reason, and how values are shown."""

from apps.access.admin.guarded import GuardedAdmin, RecordAdmin
from apps.access.admin.inlines import LatestInline
from apps.access.admin.kept import KeptAdmin
from apps.access.admin.panels import Panel, page_link, panel
from apps.access.admin.questions import Question, question_filter
from apps.access.admin.reasons import Reasoned, ReasonForm, ShownOnce

__all__ = [
    "GuardedAdmin",
    "KeptAdmin",
    "LatestInline",
    "Panel",
    "Question",
    "ReasonForm",
    "Reasoned",
    "RecordAdmin",
    "ShownOnce",
    "page_link",
    "panel",
    "question_filter",
]
