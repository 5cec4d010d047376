"""Writes on rules."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from apps.access.policy import require_admin
from apps.audit import services as audit
from apps.core.errors import Invalid
from apps.directory.models import DirectoryRule


@transaction.atomic
def save_rule(rule: DirectoryRule, *, by: Any, reason: str = "") -> DirectoryRule:
    """Write a rule, new or changed. It counts from the next sync or login on. Audited.

    Raises: NotAllowed unless `by` is an admin, Invalid.
    """
    require_admin(by)
    rule.group = rule.group.replace("\x00", "").strip()
    _check(rule)
    is_new = rule.pk is None
    try:
        rule.full_clean()
    except ValidationError as error:
        raise Invalid(errors=error.message_dict) from error
    rule.save()
    audit.record("create" if is_new else "edit", rule, by=by, reason=reason, **_told(rule))
    return rule


def _check(rule: DirectoryRule) -> None:
    if bool(rule.team_id) == bool(rule.platform_role):
        raise Invalid(errors={"team": ["Name a team, or a platform role; one of them."]})
    if bool(rule.team_id) != bool(rule.role):
        raise Invalid(errors={"role": ["A team needs a role, and a platform role has none."]})
    if rule.platform_role and not settings.FATHOM_DIRECTORY_PLATFORM_ROLES:
        sentence = "This platform gives no platform roles by directory (FATHOM_DIRECTORY_PLATFORM_ROLES)."
        raise Invalid(errors={"platform_role": [sentence]})


@transaction.atomic
def delete_rule(rule: DirectoryRule, *, by: Any, reason: str = "") -> None:
    """Delete a rule; the next sync takes back what only it gave. Audited. Raises: NotAllowed unless `by` is an admin."""
    require_admin(by)
    audit.record("delete", rule, by=by, reason=reason, **_told(rule))
    rule.delete()


def _told(rule: DirectoryRule) -> dict[str, Any]:
    return {
        "source": rule.source,
        "group": rule.group,
        "team": rule.team.slug if rule.team else "",
        "role": rule.role,
        "platform_role": rule.platform_role,
        "order": rule.order,
        "enabled": rule.enabled,
    }
