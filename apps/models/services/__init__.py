"""The front door of the registry: every write, and the reads that are more than a queryset."""

from apps.models.services.moves import (
    decide_move,
    drop_alias,
    move_stage,
    pointed_to,
    request_move,
    set_alias,
    withdraw_request,
)
from apps.models.services.protection import protect, rule_for, unprotect
from apps.models.services.registered import (
    archive_model,
    create_model,
    find_model,
    make_room_for,
    named_model,
    tag_model,
    untag_model,
    update_model,
)
from apps.models.services.versions import (
    Details,
    archive_version,
    copy_version,
    find_version,
    register_files,
    register_run,
    tag_version,
    untag_version,
    update_version,
)
from apps.models.unpacking import FORMATS, store_archive, store_files

__all__ = [
    "FORMATS",
    "Details",
    "archive_model",
    "archive_version",
    "copy_version",
    "create_model",
    "decide_move",
    "drop_alias",
    "find_model",
    "find_version",
    "make_room_for",
    "move_stage",
    "named_model",
    "pointed_to",
    "protect",
    "register_files",
    "register_run",
    "request_move",
    "rule_for",
    "set_alias",
    "store_archive",
    "store_files",
    "tag_model",
    "tag_version",
    "unprotect",
    "untag_model",
    "untag_version",
    "update_model",
    "update_version",
    "withdraw_request",
]
