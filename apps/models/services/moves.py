"""Moves of aliases and stages: at once where nothing guards them, else by a request that others answer.

LOCKING: every move, request and answer holds the row of its model, so that a rule, its approvals and the move agree.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from apps.access import policy
from apps.audit import services as audit
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.core.locks import lock_row
from apps.models.choices import RequestState, Stage, Target
from apps.models.models import Alias, Decision, ModelVersion, Move, MoveRequest, Protection, RegisteredModel
from apps.models.services.protection import missing_for, rule_for
from apps.models.services.wording import checked_alias, checked_text

_LONGEST_REASON = 1000


@dataclass(frozen=True, slots=True)
class Wish:
    """One move: an alias to a version, or taken from it, or a version into a stage."""

    version: ModelVersion
    target: str
    name: str
    removes: bool = False


@transaction.atomic
def set_alias(model: RegisteredModel, name: str, version: ModelVersion, *, by: Any, reason: str = "") -> Alias:
    """Let an alias point to a version. Idempotent. Kept in the history, audited.

    Raises: NotAllowed, also when the alias is protected and something is missing, which it says; Invalid, NotFound.
    """
    _carry_out_at_once(model, Wish(version, Target.ALIAS, checked_alias(name)), by=by, reason=reason)
    return Alias.objects.select_related("version").get(model=model, name=name)


@transaction.atomic
def drop_alias(model: RegisteredModel, name: str, *, by: Any, reason: str = "") -> None:
    """Take an alias away. Kept in the history, audited. Raises: NotAllowed as `set_alias`, NotFound without one."""
    policy.require(by, "move", model)
    alias = (
        Alias.objects.filter(model=model, name=name).select_related("version").first() if "\x00" not in name else None
    )
    if alias is None:
        msg = "There is no such alias."
        raise NotFound(msg)
    _carry_out_at_once(model, Wish(alias.version, Target.ALIAS, name, removes=True), by=by, reason=reason)


@transaction.atomic
def move_stage(
    version: ModelVersion, stage: str, *, by: Any, reason: str = "", archive_others: bool = False
) -> ModelVersion:
    """Put a version into a stage; with `archive_others` those that are in it leave it. Idempotent. Kept, audited.

    Raises: NotAllowed as `set_alias`, Invalid for an unknown stage.
    """
    _require_stage(stage)
    _carry_out_at_once(version.model, Wish(version, Target.STAGE, stage), by=by, reason=reason)
    if archive_others and stage in {Stage.STAGING, Stage.PRODUCTION}:
        others = ModelVersion.objects.filter(model=version.model, stage=stage, archived_at=None).exclude(pk=version.pk)
        for other in others.order_by("number"):
            _to_stage(other, Stage.ARCHIVED, by=by, reason=reason or f"Version {version.number} took its place.")
    version.refresh_from_db(fields=["stage", "updated_at"])
    return version


@transaction.atomic
def request_move(
    model: RegisteredModel,
    target: str,
    name: str,
    version: ModelVersion,
    *,
    by: Any,
    reason: str,
    removes: bool = False,
) -> MoveRequest:
    """Ask others to approve a move of something protected. Audited.

    Raises: NotAllowed when it could never be carried out, with what is missing; Conflict when nothing guards it, or it
    was asked for already; Invalid without a reason.
    """
    policy.require(by, "move", model)
    _require_known(target, name, removes=removes)
    if not reason.strip():
        raise Invalid(errors={"reason": ["Say why."]})
    locked = _lock(model)
    version = _fresh(locked, version)
    wish = Wish(version, target, name, removes)
    rule = _rule_of(wish)
    if rule is None or rule.approvals == 0:
        msg = f"{name} needs no approval here. Move it."
        raise Conflict(msg)
    if removes and not Alias.objects.filter(model=model, name=name, version=version).exists():
        msg = f"{name} does not point to version {version.number}."
        raise Conflict(msg)
    _refuse_what_is_missing(wish, rule, by, told_how=False)
    asked = MoveRequest(
        model=locked, version=version, target=target, name=name, removes=removes, requested_by=by,
        reason=checked_text("reason", reason.strip(), _LONGEST_REASON),
    )  # fmt: skip
    try:
        with transaction.atomic():
            asked.save(force_insert=True)
    except IntegrityError as error:
        msg = "This was asked for already, and waits for an answer."
        raise Conflict(msg) from error
    audit.record("request_move", locked, by=by, reason=asked.reason, wish=asked.wish, request=str(asked.pk))
    return asked


@transaction.atomic
def decide_move(request: MoveRequest, *, by: Any, approve: bool, reason: str = "") -> MoveRequest:
    """Approve or refuse a request; the approval that completes the rule carries it out. A refusal ends it. Audited.

    Raises: NotAllowed for who asked himself, or made the version where duties are separate; Conflict when it is not open
    or was answered by `by` already; Invalid for a refusal without a reason.
    """
    policy.require(by, "approve", request)
    said = checked_text("reason", reason.strip(), _LONGEST_REASON)
    if not approve and not said:
        raise Invalid(errors={"reason": ["Say why."]})
    model = _lock(request.model)
    request = MoveRequest.objects.with_people().get(pk=request.pk)
    _require_open(request)
    rule = _rule_of(_wish_of(request))
    _require_other(request, rule, by)
    answer, is_new = Decision.objects.get_or_create(
        request=request, by=by, defaults={"is_approval": approve, "reason": said}
    )
    if not is_new:
        msg = f"You {'approved' if answer.is_approval else 'refused'} it already."
        raise Conflict(msg)
    audit.record("approve_move" if approve else "refuse_move", model, by=by, reason=said, wish=request.wish)
    if not approve:
        _close(request, RequestState.REFUSED)
    elif _approvals(request, rule) >= (rule.approvals if rule else 1):
        _carry_out_request(request, rule)
    return request


@transaction.atomic
def withdraw_request(request: MoveRequest, *, by: Any) -> None:
    """Take back what one asked for. Idempotent. Audited. Raises: NotAllowed for somebody else's, Conflict when decided."""
    policy.require(by, "withdraw", request)
    if request.requested_by_id != by.pk:
        msg = "Only who asked takes it back; others refuse it."
        raise audit.refused(by, "withdraw", request, NotAllowed(msg))
    _lock(request.model)
    request.refresh_from_db(fields=["state"])
    if request.state == RequestState.WITHDRAWN:
        return
    _require_open(request)
    _close(request, RequestState.WITHDRAWN)
    audit.record("withdraw_move", request.model, by=by, wish=request.wish)


def pointed_to(model: RegisteredModel, alias: str, at: datetime) -> Move | None:
    """Return the move by which `alias` pointed where it did at a moment; None when it pointed nowhere.

    The caller has judged that the model may be viewed.
    """
    moves = Move.objects.filter(model=model, target=Target.ALIAS, name=alias, at__lte=at)
    last = moves.select_related("version", "by", "request").order_by("-id").first()
    return last if last is not None and last.after else None


def drop_aliases_of(version: ModelVersion, *, by: Any, reason: str) -> None:
    """Take every alias of a version away; the caller holds the model and has judged what is protected."""
    for alias in list(Alias.objects.filter(version=version)):
        _drop(alias, by=by, reason=reason)


def _carry_out_at_once(model: RegisteredModel, wish: Wish, *, by: Any, reason: str) -> None:
    policy.require(by, "move", model)
    locked = _lock(model)
    fresh = Wish(_fresh(locked, wish.version), wish.target, wish.name, wish.removes)
    if _is_done(fresh):
        return
    rule = _rule_of(fresh)
    if rule is not None:
        _refuse_what_is_missing(fresh, rule, by, told_how=True)
    _carry_out(fresh, by=by, reason=checked_text("reason", reason, _LONGEST_REASON))


def _refuse_what_is_missing(wish: Wish, rule: Protection, by: Any, *, told_how: bool) -> None:
    lacks = missing_for(rule, wish.version, by=by, enters=not wish.removes)
    missing = list(lacks.never)
    if told_how and lacks.approvals:
        people = "approval of somebody else" if lacks.approvals == 1 else f"approvals of {lacks.approvals} others"
        missing.append(f"It needs the {people}: ask for them with a request on the model's page, or by the API.")
    if not missing:
        return
    what = "alias" if wish.target == Target.ALIAS else "stage"
    error = NotAllowed(f"The {what} {wish.name} is protected. {' '.join(missing)}", missing=missing)
    raise audit.refused(by, "move", wish.version.model, error)


def _carry_out_request(request: MoveRequest, rule: Protection | None) -> None:
    wish = _wish_of(request)
    if wish.version.archived_at is not None:
        msg = f"Version {wish.version.number} was deleted meanwhile."
        raise Conflict(msg)
    if (
        rule is not None
        and (lacks := missing_for(rule, wish.version, by=request.requested_by, enters=not wish.removes)).never
    ):
        raise Conflict(" ".join(lacks.never))
    if not policy.can(request.requested_by, "move", request.model):
        msg = f"{request.requested_by}, who asked, may not move it any more. Refuse it, and ask anew."
        raise Conflict(msg)
    _close(request, RequestState.DONE)
    if not _is_done(wish):
        _carry_out(wish, by=request.requested_by, reason=request.reason, request=request)


def _carry_out(wish: Wish, *, by: Any, reason: str, request: MoveRequest | None = None) -> None:
    if wish.target == Target.STAGE:
        _to_stage(wish.version, wish.name, by=by, reason=reason, request=request)
    elif wish.removes:
        alias = Alias.objects.filter(version=wish.version, name=wish.name).first()
        if alias is not None:
            _drop(alias, by=by, reason=reason, request=request)
    else:
        _point(wish.version, wish.name, by=by, reason=reason, request=request)


def _point(version: ModelVersion, name: str, *, by: Any, reason: str, request: MoveRequest | None = None) -> None:
    alias = Alias.objects.filter(model=version.model, name=name).select_related("version").first()
    before = str(alias.version.number) if alias else ""
    Alias.objects.update_or_create(model=version.model, name=name, defaults={"version": version, "moved_at": Now()})
    facts = {"name": name, "before": before, "after": str(version.number)}
    _note(version, Target.ALIAS, facts, by=by, reason=reason, request=request)


def _drop(alias: Alias, *, by: Any, reason: str, request: MoveRequest | None = None) -> None:
    facts = {"name": alias.name, "before": str(alias.version.number), "after": ""}
    version = alias.version
    alias.delete()
    _note(version, Target.ALIAS, facts, by=by, reason=reason, request=request)


def _to_stage(version: ModelVersion, stage: str, *, by: Any, reason: str, request: MoveRequest | None = None) -> None:
    facts = {"name": "", "before": version.stage, "after": str(stage)}
    ModelVersion.objects.filter(pk=version.pk).update(stage=stage, updated_at=Now())
    version.stage = stage
    _note(version, Target.STAGE, facts, by=by, reason=reason, request=request)


def _note(
    version: ModelVersion, target: str, facts: dict[str, str], *, by: Any, reason: str, request: MoveRequest | None
) -> None:
    """Write the history, the audit, and that the model changed."""
    person = by if by.pk is not None else None
    Move.objects.create(
        model=version.model, version=version, target=target, by=person, reason=reason, request=request, **facts
    )
    RegisteredModel.objects.filter(pk=version.model_id).update(updated_at=Now())
    audit.record("move", version.model, by=by, reason=reason, target=str(target), version=version.number, **facts)


def _is_done(wish: Wish) -> bool:
    if wish.target == Target.STAGE:
        return wish.version.stage == wish.name
    points = Alias.objects.filter(version=wish.version, name=wish.name).exists()
    return points is not wish.removes


def _rule_of(wish: Wish) -> Protection | None:
    """Return what guards a move; to leave a protected stage is one, too."""
    names = [wish.name] if wish.target == Target.ALIAS else [wish.name, wish.version.stage]
    return rule_for(wish.version.model, wish.target, *(name for name in names if name != Stage.NONE))


def _wish_of(request: MoveRequest) -> Wish:
    return Wish(request.version, request.target, request.name, request.removes)


def _approvals(request: MoveRequest, rule: Protection | None) -> int:
    """Count the approvals of people who may still give one."""
    given = Decision.objects.filter(request=request, is_approval=True, by__is_active=True).select_related("by")
    maker = request.version.created_by_id if rule is not None and rule.separate_duties else None
    return sum(policy.can(one.by, "approve", request.model) for one in given if one.by_id != maker)


def _require_other(request: MoveRequest, rule: Protection | None, by: Any) -> None:
    msg = ""
    if by.pk == request.requested_by_id:
        msg = "You asked for it yourself; somebody else has to answer. You can withdraw it."
    elif rule is not None and rule.separate_duties and by.pk == request.version.created_by_id:
        msg = f"You made version {request.version.number}, and its maker may not answer: somebody else has to."
    if msg:
        raise audit.refused(by, "approve", request, NotAllowed(msg))


def _require_open(request: MoveRequest) -> None:
    if request.state != RequestState.OPEN:
        msg = f"It is {RequestState(request.state).label.lower()} already."
        raise Conflict(msg)


def _require_stage(stage: str) -> None:
    if stage not in Stage.values:
        raise Invalid(errors={"stage": [f"One of {', '.join(Stage.values)}."]})


def _require_known(target: str, name: str, *, removes: bool) -> None:
    if target not in Target.values:
        raise Invalid(errors={"target": [f"One of {', '.join(Target.values)}."]})
    if target == Target.ALIAS:
        checked_alias(name)
        return
    _require_stage(name)
    if removes:
        raise Invalid(errors={"removes": ["A version leaves a stage by going into another."]})


def _close(request: MoveRequest, state: RequestState) -> None:
    MoveRequest.objects.filter(pk=request.pk).update(state=state, decided_at=Now())
    request.refresh_from_db(fields=["state", "decided_at"])


def _lock(model: RegisteredModel) -> RegisteredModel:
    try:
        return lock_row(RegisteredModel.objects.filter(pk=model.pk, archived_at=None).select_related("owner", "team"))
    except RegisteredModel.DoesNotExist:
        raise NotFound from None


def _fresh(model: RegisteredModel, version: ModelVersion) -> ModelVersion:
    found: ModelVersion | None = ModelVersion.objects.live().filter(model=model, pk=version.pk).first()
    if found is None:
        msg = "There is no such version."
        raise NotFound(msg)
    found.model = model
    return found
