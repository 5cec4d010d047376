"""The front door of sharing: every write on who may do what with an object, and the questions that belong to it."""

from apps.sharing.services.holders import Access, Holders, who_has_access
from apps.sharing.services.requests import (
    MOST_OPEN,
    decide_request,
    request_access,
    withdraw_request,
)
from apps.sharing.services.shares import (
    change_share,
    end_expired_shares,
    set_visibility,
    share,
    share_with,
    transfer_owner,
    unshare,
)
from apps.sharing.services.subjects import Subject, find_subject, known_subject

__all__ = [
    "MOST_OPEN",
    "Access",
    "Holders",
    "Subject",
    "change_share",
    "decide_request",
    "end_expired_shares",
    "find_subject",
    "known_subject",
    "request_access",
    "set_visibility",
    "share",
    "share_with",
    "transfer_owner",
    "unshare",
    "who_has_access",
    "withdraw_request",
]
