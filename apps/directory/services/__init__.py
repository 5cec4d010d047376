"""The front door of directories: rules, the dry run, the sync, and the account of who has just logged in."""

from apps.directory.services.accounts import enter, enter_by_redirect, forget_identity
from apps.directory.services.rules import delete_rule, save_rule
from apps.directory.services.syncing import preview, require_reader, sync, sync_if_due

__all__ = [
    "delete_rule",
    "enter",
    "enter_by_redirect",
    "forget_identity",
    "preview",
    "require_reader",
    "save_rule",
    "sync",
    "sync_if_due",
]
