"""Every write on credentials: by people, at the start of a job, and at a rotation of keys."""

from apps.credentials.services.delivery import (
    Delivery,
    Opened,
    Refused,
    default_alias,
    deliver,
    open_one,
    require_usable,
    shown_variables,
    used_by,
)
from apps.credentials.services.records import (
    create_credential,
    delete_credential,
    fit_for_heir,
    replace_credential,
    update_credential,
)
from apps.credentials.services.rotation import retire_key, rotate_keys, verify_keys
from apps.credentials.variables import KINIT_FAILED

__all__ = [
    "KINIT_FAILED",
    "Delivery",
    "Opened",
    "Refused",
    "create_credential",
    "default_alias",
    "delete_credential",
    "deliver",
    "fit_for_heir",
    "open_one",
    "replace_credential",
    "require_usable",
    "retire_key",
    "rotate_keys",
    "shown_variables",
    "update_credential",
    "used_by",
    "verify_keys",
]
