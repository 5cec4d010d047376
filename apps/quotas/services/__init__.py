"""What other apps may do with quotas."""

from apps.quotas.books import Amounts, Books, Full, Line, Share
from apps.quotas.services.admission import (
    Answer,
    Ask,
    Gone,
    drift,
    hold,
    lock,
    look,
    release,
    reserve,
    reserve_all,
)
from apps.quotas.services.limits import require_known, require_possible, set_capacity, set_limit, set_limits
from apps.quotas.services.requests import (
    approve_allocation,
    expire_allocations,
    limit_now,
    refuse_allocation,
    register_other,
    request_allocation,
    withdraw_allocation,
)
from apps.quotas.services.share import count_running, shares_of, weigh
from apps.quotas.services.tree import create_group, ensure_node, move_node, platform_node, set_share, set_weight

__all__ = [
    "Amounts",
    "Answer",
    "Ask",
    "Books",
    "Full",
    "Gone",
    "Line",
    "Share",
    "approve_allocation",
    "count_running",
    "create_group",
    "drift",
    "ensure_node",
    "expire_allocations",
    "hold",
    "limit_now",
    "lock",
    "look",
    "move_node",
    "platform_node",
    "refuse_allocation",
    "register_other",
    "release",
    "request_allocation",
    "require_known",
    "require_possible",
    "reserve",
    "reserve_all",
    "set_capacity",
    "set_limit",
    "set_limits",
    "set_share",
    "set_weight",
    "shares_of",
    "weigh",
    "withdraw_allocation",
]
