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
    set_token_addresses,
)
from apps.accounts.services.elevation import (
    begin_elevation,
    disable_second_factor,
    elevated_until,
    end_elevation,
    issue_admin_token,
    prove,
)
from apps.accounts.services.logins import log_in
from apps.accounts.services.offboarding import (
    close_account,
    disable_user,
    enable_user,
    keep_run_tokens,
    offboard_user,
)
from apps.accounts.services.passwords import (
    change_password,
    is_reset_link_live,
    issue_reset_link,
    redeem_reset_link,
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
from apps.accounts.services.second_factor import (
    begin_second_factor,
    confirm_second_factor,
    has_second_factor,
    recovery_codes_left,
    reset_second_factor,
)
from apps.accounts.services.seeing import begin_seeing, end_seeing
from apps.accounts.services.sessions import drop_sessions, end_other_sessions, end_session
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
    "begin_elevation",
    "begin_second_factor",
    "begin_seeing",
    "change_password",
    "close_account",
    "confirm_second_factor",
    "create_user",
    "disable_second_factor",
    "disable_user",
    "drop_sessions",
    "elevated_until",
    "enable_user",
    "end_elevation",
    "end_other_sessions",
    "end_seeing",
    "end_session",
    "has_second_factor",
    "is_reset_link_live",
    "is_setup_link_live",
    "issue_admin_token",
    "issue_reset_link",
    "issue_run_token",
    "issue_setup_link",
    "issue_token",
    "keep_run_tokens",
    "log_in",
    "note_use",
    "offboard_user",
    "open_account",
    "open_accounts",
    "prove",
    "recovery_codes_left",
    "redeem_reset_link",
    "redeem_setup_link",
    "refused_name",
    "register",
    "reject_registration",
    "require_address",
    "require_open",
    "reset_second_factor",
    "revoke_bound_tokens",
    "revoke_token",
    "rotate_token",
    "set_first_password",
    "set_platform_role",
    "set_token_addresses",
    "update_user",
]
