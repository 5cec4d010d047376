"""The front door of accounts: every write on people, their tokens and sessions."""

from apps.accounts.services.api_tokens import (
    authenticate_token,
    issue_run_token,
    issue_token,
    note_use,
    revoke_bound_tokens,
    revoke_token,
)
from apps.accounts.services.elevation import elevate, elevated_until
from apps.accounts.services.logins import log_in
from apps.accounts.services.people import create_user, disable_user, enable_user, set_platform_role
from apps.accounts.services.seeing import begin_seeing, end_seeing
from apps.accounts.services.setup import (
    SETUP_LINK_LIFETIME,
    is_setup_link_live,
    issue_setup_link,
    redeem_setup_link,
)

__all__ = [
    "SETUP_LINK_LIFETIME",
    "authenticate_token",
    "begin_seeing",
    "create_user",
    "disable_user",
    "elevate",
    "elevated_until",
    "enable_user",
    "end_seeing",
    "is_setup_link_live",
    "issue_run_token",
    "issue_setup_link",
    "issue_token",
    "log_in",
    "note_use",
    "redeem_setup_link",
    "revoke_bound_tokens",
    "revoke_token",
    "set_platform_role",
]
