"""Rules: what a move of an alias or a stage needs, and what of it is missing."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid
from apps.core.locks import lock_row
from apps.models.choices import Operator, Stage, Target
from apps.models.models import ModelVersion, Protection, RegisteredModel
from apps.models.services.wording import checked_alias

MOST_APPROVALS = 10
MOST_THRESHOLDS = 20
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    Operator.AT_LEAST: operator.ge,
    Operator.AT_MOST: operator.le,
    Operator.ABOVE: operator.gt,
    Operator.BELOW: operator.lt,
    Operator.EQUAL: operator.eq,
}


@dataclass(frozen=True, slots=True)
class Missing:
    """What forbids a move for good (`never`), and what others can still give (`approvals`)."""

    never: Sequence[str]
    approvals: int = 0


@transaction.atomic
def protect(
    model: RegisteredModel,
    target: str,
    name: str = "",
    *,
    by: Any,
    approvals: int = 1,
    separate_duties: bool = True,
    thresholds: Sequence[Mapping[str, Any]] = (),
    reason: str = "",
) -> Protection:
    """Set what moves of an alias (or stage) need; "" is every one that has no rule of its own. Audited.

    Raises: NotAllowed, Invalid.
    """
    policy.require(by, "protect", model)
    _require_name(target, name)
    if not 0 <= approvals <= MOST_APPROVALS:
        raise Invalid(errors={"approvals": [f"Between 0 and {MOST_APPROVALS}."]})
    asked = {"approvals": approvals, "separate_duties": separate_duties, "thresholds": _thresholds(thresholds)}
    lock_row(RegisteredModel.objects.filter(pk=model.pk))
    rule, is_new = Protection.objects.update_or_create(model=model, target=target, name=name, defaults=asked)
    audit.record("protect", model, by=by, reason=reason, target=target, name=name, is_new=is_new, **asked)
    return rule


@transaction.atomic
def unprotect(rule: Protection, *, by: Any, reason: str = "") -> None:
    """Lift a rule: who may move then does. Audited. Raises: NotAllowed."""
    policy.require(by, "protect", rule.model)
    audit.record("unprotect", rule.model, by=by, reason=reason, target=rule.target, name=rule.name)
    rule.delete()


def rule_for(model: RegisteredModel, target: str, *names: str) -> Protection | None:
    """Return the rule that governs one of `names`: its own, else the one for all."""
    rules = {rule.name: rule for rule in Protection.objects.filter(model=model, target=target)}
    return next((rules[name] for name in names if name in rules), None) or (rules.get("") if names else None)


def missing_for(rule: Protection, version: ModelVersion, *, by: Any, enters: bool = True) -> Missing:
    """Return what a move of `version` by `by` lacks under `rule`; thresholds are held against what enters only."""
    never = [said for wanted in rule.thresholds if enters and (said := _unmet(wanted, version.metrics))]
    if rule.separate_duties and rule.approvals == 0 and version.created_by_id == by.pk:
        never.append(f"You made version {version.number}, and its maker may not move it here: somebody else has to.")
    return Missing(never, rule.approvals)


def require_nothing_protected(model: RegisteredModel, version: ModelVersion | None = None) -> None:
    """Let pass when no rule guards what points to `version`, or to any version. Raises: Conflict."""
    aliases = model.aliases.filter(version=version) if version else model.aliases.all()
    for name in aliases.values_list("name", flat=True):
        if rule_for(model, Target.ALIAS, name):
            msg = f"{name} is protected and points here. Move it, or lift its protection, first."
            raise Conflict(msg)
    versions = model.versions.filter(archived_at=None).exclude(stage=Stage.NONE)
    for stage in set((versions.filter(pk=version.pk) if version else versions).values_list("stage", flat=True)):
        if rule_for(model, Target.STAGE, stage):
            msg = f"The stage {stage} is protected, and a version is in it. Move it out, or lift its protection, first."
            raise Conflict(msg)


def _require_name(target: str, name: str) -> None:
    if target not in Target.values:
        raise Invalid(errors={"target": [f"One of {', '.join(Target.values)}."]})
    if target == Target.STAGE and name and name not in Stage.values:
        raise Invalid(errors={"name": [f"One of {', '.join(Stage.values)}."]})
    if target == Target.ALIAS and name:
        try:
            checked_alias(name)
        except Invalid as refusal:
            raise Invalid(errors={"name": refusal.errors["alias"]}) from refusal


def _thresholds(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if len(given) > MOST_THRESHOLDS:
        raise Invalid(errors={"thresholds": [f"At most {MOST_THRESHOLDS}."]})
    found = []
    for number, one in enumerate(given):
        metric, compare, value = one.get("metric"), one.get("operator"), one.get("value")
        if not isinstance(metric, str) or not 0 < len(metric) <= 250 or "\x00" in metric:  # noqa: PLR2004 -- a metric's key
            raise Invalid(errors={f"thresholds[{number}].metric": ["The name of a metric."]})
        if compare not in Operator.values:
            raise Invalid(errors={f"thresholds[{number}].operator": [f"One of {', '.join(Operator.values)}."]})
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Invalid(errors={f"thresholds[{number}].value": ["A finite number."]})
        found.append({"metric": metric, "operator": str(compare), "value": float(value)})
    return found


def _unmet(wanted: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    metric, compare, limit = wanted["metric"], wanted["operator"], wanted["value"]
    said = f"{metric} must be {Operator(compare).label} {limit:g}"
    if metric not in metrics:
        return f"{said}; the version has no such metric."
    value = float(metrics[metric])  # "NaN" and "Infinity" travel by name
    return "" if _COMPARE[compare](value, limit) else f"{said}; it is {value:g}."
