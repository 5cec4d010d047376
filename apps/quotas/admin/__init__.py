"""The quota tree, what people ask of it, and what holds its limits, for operators."""

from apps.quotas.admin.catalogue import QuotaDefaultAdmin, ResourceAdmin
from apps.quotas.admin.nodes import QuotaNodeAdmin
from apps.quotas.admin.records import ReservationAdmin, ShareUseAdmin
from apps.quotas.admin.requests import AllocationRequestAdmin

__all__ = [
    "AllocationRequestAdmin",
    "QuotaDefaultAdmin",
    "QuotaNodeAdmin",
    "ReservationAdmin",
    "ResourceAdmin",
    "ShareUseAdmin",
]
