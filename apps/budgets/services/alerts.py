"""Who is told that money runs out: each level of a period once, by rows that are delivered until they are taken."""

import hashlib
import hmac
import time
from datetime import datetime, timedelta
from typing import Any

import orjson
import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from apps.access.decision import Role
from apps.accounts.choices import PlatformRole
from apps.accounts.models import User
from apps.budgets.choices import PERCENTS, AlertLevel, Channel, in_money, with_currency
from apps.budgets.models import Alert, Delivery, Period
from apps.budgets.services.asking import day
from apps.core import failpoints, outgoing
from apps.core.locks import claim_rows
from apps.quotas.choices import NodeKind
from apps.teams.choices import ROLE_ON_ASSETS
from apps.teams.models import Membership

logger = structlog.get_logger(__name__)

_TRIES = 12  # with doubling pauses from a minute on: the last after a day and a half
_LONGEST_PAUSE = timedelta(hours=12)
_CLAIM = timedelta(minutes=2)  # longer than a delivery can take; a process that dies leaves it to another one then
_AT_ONCE, _SECONDS = 20, 10.0  # of one run: the other loops of this thread wait for it
_EARLY = 20  # no forecast in the first twentieth of a period: a straight line through a point


def raise_alerts() -> int:
    """Write down each level that a running period has reached, and to whom that is to be told. Returns how many."""
    made = 0
    rows = Period.objects.running().filter(spent_micros__gt=0).select_related("budget__node").order_by("pk")
    for period in rows.prefetch_related("alerts"):
        known = {alert.level for alert in period.alerts.all()}
        for level in _reached(period, timezone.now()):
            made += level not in known and _raise(period, level)
    return made


def _reached(period: Period, now: datetime) -> list[str]:
    """Return the highest percentage that is passed, and the forecast where it is worse than that."""
    passed = [str(percent) for percent in PERCENTS if period.spent_micros * 100 >= period.amount_micros * percent]
    foretold = forecast(period, now)
    will_not_last = foretold is not None and foretold > period.amount_micros and passed[-1:] != [AlertLevel.ALL.value]
    return [*passed[-1:], *([AlertLevel.FORECAST.value] if will_not_last else [])]


def forecast(period: Period, now: datetime) -> int | None:
    """Return what will be spent at the end if it goes on as it went so far: a straight line. None when it is too early."""
    second = timedelta(seconds=1)
    whole, gone = (period.ends_at - period.starts_at) // second, (now - period.starts_at) // second
    return period.spent_micros * whole // gone if gone * _EARLY >= whole and gone > 0 else None


@transaction.atomic
def _raise(period: Period, level: str) -> bool:
    facts = {
        "spent_micros": period.spent_micros,
        "amount_micros": period.amount_micros,
        "message": _sentence(period, level),
    }
    alert, is_new = Alert.objects.get_or_create(period=period, level=level, defaults=facts)
    if is_new:
        Delivery.objects.bulk_create(_deliveries(alert, period))
    return is_new


def _sentence(period: Period, level: str) -> str:
    node, until = period.budget.node, day(period.ends_at)
    spent = f"{in_money(period.spent_micros)} of {with_currency(period.amount_micros)}"
    if level == AlertLevel.FORECAST:
        end = forecast(period, timezone.now()) or 0
        return f"The budget of {node} until {until} will not last: {spent} are spent, {in_money(end)} will be at this pace."
    return f"The budget of {node} until {until} is spent to {period.percent} %: {spent}."


def _deliveries(alert: Alert, period: Period) -> list[Delivery]:
    made = []
    if settings.EMAIL_HOST:
        people = {user.email: user for user in _told(period.budget.node) if user.email}
        made = [Delivery(alert=alert, channel=Channel.EMAIL, target=email, user=user) for email, user in people.items()]
    if period.budget.webhook_url:
        made.append(Delivery(alert=alert, channel=Channel.WEBHOOK, target=period.budget.webhook_url))
    return made


def _told(node: Any) -> list[User]:
    """Return who is told: a team's maintainers, the person himself; admins for what is above teams."""
    active = User.objects.filter(is_active=True)
    kind, _, rest = node.key.partition(":")
    if node.kind == NodeKind.TEAM and kind == "team":
        roles = [role for role, on_assets in ROLE_ON_ASSETS.items() if on_assets is Role.MANAGER]
        maintainers = Membership.objects.filter(team_id=int(rest), role__in=roles)
        return list(active.filter(pk__in=maintainers.values("user")).order_by("pk"))
    if node.kind == NodeKind.USER:
        return list(active.filter(pk=int(node.key.rpartition("user:")[2])))
    return list(active.filter(platform_role=PlatformRole.ADMIN).order_by("pk"))


def deliver_alerts() -> str:
    """Deliver what is due: claimed, then sent outside of any transaction, then noted. At least once."""
    until, sent, failed = time.monotonic() + _SECONDS, 0, 0
    for _ in range(_AT_ONCE):
        row = _claim() if time.monotonic() < until else None
        if row is None:
            break
        try:
            _send(row)
        except (OSError, outgoing.Refused) as error:  # SMTP's errors are OSErrors
            failed += 1
            _postpone(row, f"{type(error).__name__}: {error}"[:500])
        else:
            sent += 1
            failpoints.hit("alert.after_send")
            Delivery.objects.filter(pk=row.pk).update(done_at=Now(), next_at=None, error="")
    return ", ".join(f"{count} {word}" for count, word in ((sent, "sent"), (failed, "failed")) if count)


@transaction.atomic
def _claim() -> Delivery | None:
    due = Delivery.objects.filter(next_at__lte=Now()).order_by("next_at", "pk")
    found = claim_rows(due, limit=1)
    Delivery.objects.filter(pk__in=[row.pk for row in found]).update(next_at=Now() + _CLAIM, attempts=F("attempts") + 1)
    rows = Delivery.objects.select_related("alert__period__budget__node").filter(pk__in=[row.pk for row in found])
    return rows.first()


def _postpone(row: Delivery, error: str) -> None:
    pause = min(_LONGEST_PAUSE, timedelta(minutes=1) * 2 ** (row.attempts - 1))
    is_over = row.attempts >= _TRIES
    logger.log(40 if is_over else 30, "alert_not_delivered", delivery=row.pk, attempts=row.attempts, error=error)
    Delivery.objects.filter(pk=row.pk).update(error=error, next_at=None if is_over else Now() + pause)


def _send(row: Delivery) -> None:
    if row.channel == Channel.EMAIL:
        _mail(row)
        return
    body = orjson.dumps(_document(row.alert), option=orjson.OPT_UTC_Z)
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Fathom",
        "Fathom-Event-Id": f"alert-{row.alert_id}",
        "Fathom-Timestamp": stamp,
        "Fathom-Signature": f"sha256={signature(row.alert.period.budget_id, stamp, body)}",
    }
    outgoing.post(row.target, body, headers, timeout=5.0, may_go_inside=settings.ALERTS_MAY_GO_INSIDE)


def _document(alert: Alert) -> dict[str, Any]:
    period = alert.period
    return {
        "event": "budget.alert",
        "id": f"alert-{alert.pk}",
        "level": alert.level,
        "message": alert.message,
        "budget": period.budget_id,
        "node": str(period.budget.node),
        "policy": period.budget.policy,
        "period": {"starts_at": period.starts_at, "ends_at": period.ends_at},
        "spent_micros": alert.spent_micros,
        "amount_micros": alert.amount_micros,
        "currency": settings.CURRENCY,
        "at": alert.made_at,
    }


def signing_key(budget_id: int) -> str:
    """Return the key with which webhooks of a budget are signed. It is derived, and kept nowhere."""
    mac = hmac.new(bytes.fromhex(settings.FATHOM_DATA_KEY), f"budget-webhook|{budget_id}".encode(), hashlib.sha256)
    return mac.hexdigest()


def signature(budget_id: int, stamp: str, body: bytes) -> str:
    return hmac.new(signing_key(budget_id).encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _mail(row: Delivery) -> None:
    alert = row.alert
    host = settings.FATHOM_URL.partition("://")[2].partition("/")[0].partition(":")[0] or "localhost"
    text = f"{alert.message}\n\nCosts and budgets: {settings.FATHOM_URL}/usage/\n"
    headers = {"Message-ID": f"<budget-alert-{alert.pk}.{row.pk}@{host}>", "Auto-Submitted": "auto-generated"}
    subject = f"Fathom: {alert.message}"[:200].replace("\n", " ")
    EmailMessage(subject, text, to=[row.target], headers=headers).send()
