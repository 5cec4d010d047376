"""Why can somebody see this, or why not: who may ask that, and about whom."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from apps.access import policy
from apps.access.decision import Role
from apps.access.explain import Explanation, explain
from apps.accounts.models import User
from apps.core.errors import Invalid, NotAllowed, NotFound
from apps.sharing.choices import SubjectKind
from apps.sharing.services import find_subject


@dataclass(frozen=True, slots=True)
class Why:
    subject: str
    explanation: Explanation


def why(obj: Model, username: str, action: str, *, by: Any) -> Why:
    """Explain what `username` (by default `by` himself, with his token) may do with the object.

    Raises: NotFound unless `by` may view it, NotAllowed about others unless he manages it, or is an acting admin or an
    auditor, Invalid for an unknown person or action, Throttled after too many unknown ones.
    """
    if not policy.decide(by, "view", obj).visible:
        raise NotFound
    declared = policy.policy_for(type(obj)).actions
    if action and action not in declared:
        raise Invalid(errors={"action": [f"One of {', '.join(declared)}."]})
    if not username or username == by.username:
        return Why(by.username, explain(by, obj, action or None))
    if policy.role_of(by, obj) is not Role.MANAGER and not by.is_auditor:
        msg = "About others only those may ask who manage it, and operators."
        raise NotAllowed(msg)
    person = _person(username, by)
    return Why(person.username, explain(person, obj, action or None))


def _person(username: str, by: Any) -> User:
    """Return who is meant. SECURITY: everybody manages something; whom he does not know he finds as when he shares it.

    Raises: Invalid, Throttled.
    """
    knows_all = (
        by.is_superuser or by.is_auditor or getattr(by, "seen_by", None) is not None
    )  # who looks on leaves no trace
    people = User.objects.all() if knows_all else User.objects.visible_to(by, "view")
    known: User | None = None if "\x00" in username else people.filter(username=username).first()
    if known is not None:
        return known
    nobody = Invalid(errors={"user": ["There is nobody of this name."]})
    if knows_all:
        raise nobody
    try:
        found: User = find_subject(SubjectKind.USER, username, by=by).holder
    except Invalid:
        raise nobody from None
    return found
