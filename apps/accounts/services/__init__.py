"""The front door of accounts: every write on people, their tokens and sessions."""

from apps.accounts.services.api_tokens import (
    authenticate_token,
    issue_run_token,
    issue_token,
    note_use,
    require_address,
    revoke_bound_tokens,
    revoke_token,
    rotate_token,
)
from apps.accounts.services.elevation import elevate, elevated_until
from apps.accounts.services.logins import log_in
from apps.accounts.services.offboarding import (
    close_account,
    disable_user,
    enable_user,
    keep_run_tokens,
    offboard_user,
)
from apps.accounts.services.people import (
    SERVICE_PREFIX,
    create_user,
    open_account,
    open_accounts,
    refused_name,
    set_first_password,
    set_platform_role,
    update_user,
)
from apps.accounts.services.registrations import (
    approve_registration,
    register,
    reject_registration,
    require_open,
)
from apps.accounts.services.setup import (
    SETUP_LINK_LIFETIME,
    is_setup_link_live,
    issue_setup_link,
    redeem_setup_link,
)

__all__ = [
    "SERVICE_PREFIX",
    "SETUP_LINK_LIFETIME",
    "approve_registration",
    "authenticate_token",
    "close_account",
    "create_user",
    "disable_user",
    "elevate",
    "elevated_until",
    "enable_user",
    "is_setup_link_live",
    "issue_run_token",
    "issue_setup_link",
    "issue_token",
    "keep_run_tokens",
    "log_in",
    "note_use",
    "offboard_user",
    "open_account",
    "open_accounts",
    "redeem_setup_link",
    "refused_name",
    "register",
    "reject_registration",
    "require_address",
    "require_open",
    "revoke_bound_tokens",
    "revoke_token",
    "rotate_token",
    "set_first_password",
    "set_platform_role",
    "update_user",
]
