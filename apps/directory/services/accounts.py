"""The account of who has just proved to a directory who he is."""

from typing import Any

import structlog
from django.db import transaction

from apps.access.policy import require_admin
from apps.accounts.choices import IdentitySource
from apps.accounts.models import LoginFailure, User
from apps.accounts.providers import Refused
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed
from apps.core.middleware import current_request
from apps.directory.person import Person
from apps.directory.planning import Plan, compute_plan
from apps.directory.services.applying import Applying, remember
from apps.directory.services.state import world_for

logger = structlog.get_logger(__name__)


def enter(person: Person) -> User:
    """Return the account of `person`: made at his first login, brought up to date at each. Audited.

    A disabled account is returned as it is: whoever asks must look. Raises: providers.Refused with the reason.
    """
    if not person.external_id:
        raise Refused(person.problem)
    try:
        return _enter(person)
    except Invalid:  # somebody took the name meanwhile, most likely the same person in another window
        try:
            return _enter(person)
        except Invalid as error:
            raise Refused(error.detail) from error


def enter_by_redirect(person: Person) -> User:
    """Return the active account of who came back from a provider. Raises: NotAllowed, in general words.

    The reason is written where failed logins are, for operators.
    """
    try:
        user = enter(person)
    except Refused as refusal:
        reason = refusal.reason
    else:
        if user.is_active:
            return user
        reason = "the account is disabled"
    logger.warning("login_refused", username=person.username, source=str(person.source), reason=reason)
    ip = current_request.get().ip
    label = f"{person.username[:140]} ({person.source})"  # no account's name: it must not count as a guess at one
    LoginFailure.objects.create(username=label, ip=ip, reason=reason[:300])
    msg = "The provider knows you, but you have no account that may be used here. An operator can see why."
    raise NotAllowed(msg)


@transaction.atomic
def _enter(person: Person) -> User:
    plan = compute_plan([person], world_for(person))
    _refuse(plan)
    Applying(plan).run()
    user: User | None = User.objects.filter(identity_source=person.source, external_id=person.external_id).first()
    if user is None:
        msg = "there is no account for this person, and logins do not make accounts here"
        raise Refused(msg)
    if user.is_active:
        remember(user, person)
    return user


def _refuse(plan: Plan) -> None:
    for change in plan.refusals:
        raise Refused(change.after)


@transaction.atomic
def forget_identity(user: User, *, by: Any, reason: str) -> None:
    """Let the account be claimed by the next person of its name in the same directory: after one was rebuilt. Audited.

    Raises: NotAllowed unless `by` is an admin, Conflict for a local account.
    """
    require_admin(by)
    if user.identity_source == IdentitySource.LOCAL:
        msg = "A local account belongs to no directory, and never will."
        raise Conflict(msg)
    if User.objects.filter(pk=user.pk).exclude(external_id="").update(external_id=""):
        audit.record("forget_identity", user, by=by, reason=reason, external_id=user.external_id)
