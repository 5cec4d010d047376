"""Alerts: once per level and period, to the right people, delivered until they are taken, and never behind the firewall."""

import hashlib
import hmac
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.budgets import services
from apps.budgets.choices import MICROS
from apps.budgets.models import Alert, Budget, Delivery, Period
from apps.core import outgoing
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind
from apps.quotas.models import QuotaNode
from tests.budgets.mailbox import Hook, Mailbox, serving, silent
from tests.budgets.money import period_of
from tests.people import Cast


@pytest.fixture
def mailbox(settings: Any) -> Iterator[Mailbox]:
    with serving(Mailbox()) as found:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", found.port
        yield found


@pytest.fixture
def hook(settings: Any) -> Iterator[Hook]:
    settings.ALERTS_MAY_GO_INSIDE = True
    with serving(Hook()) as found:
        yield found


@pytest.fixture
def node(cast: Cast) -> QuotaNode:
    for user in User.objects.all():
        User.objects.filter(pk=user.pk).update(email=f"{user.username}@example.org")
    root = quotas.platform_node()
    return quotas.ensure_node(NodeKind.TEAM, f"team:{cast.team.pk}", name="Vision", parent=root)


def make(node: QuotaNode, **more: Any) -> Budget:
    facts: dict[str, Any] = {"cadence": "month", "policy_name": "observe", "amount_micros": 100 * MICROS, **more}
    return services.create_budget(node, by=SYSTEM, **facts)


def spend(budget: Budget, units: int, *, gone: float = 0.99) -> Period:
    """Say that so much is spent when that share of the period is over."""
    now, whole = timezone.now(), timedelta(days=30)
    period = period_of(budget)
    Period.objects.filter(pk=period.pk).update(
        spent_micros=units * MICROS, starts_at=now - whole * gone, ends_at=now + whole * (1 - gone)
    )
    return period


def levels() -> list[str]:
    return list(Alert.objects.order_by("pk").values_list("level", flat=True))


def test_each_level_once(node: QuotaNode) -> None:
    budget = make(node)
    for units, new in ((49, 0), (50, 1), (51, 0), (79, 0), (81, 1), (95, 1), (96, 0), (100, 1), (130, 0)):
        spend(budget, units)
        assert services.raise_alerts() == new, units
        assert services.raise_alerts() == 0
    assert levels() == ["50", "80", "95", "100"]


def test_a_leap_tells_the_highest_only(node: QuotaNode) -> None:
    spend(make(node), 97)
    assert services.raise_alerts() == 1
    assert levels() == ["95"]


def test_a_new_period_tells_anew(node: QuotaNode) -> None:
    budget = make(node)
    spend(budget, 60)
    services.raise_alerts()
    period = period_of(budget)
    Period.objects.filter(pk=period.pk).update(ends_at=timezone.now())
    services.roll_periods()
    assert period_of(budget).pk != period.pk
    Period.objects.filter(pk=period_of(budget).pk).update(spent_micros=60 * MICROS)
    services.raise_alerts()
    assert levels()[:2] == ["50", "50"]


@pytest.mark.parametrize(("units", "gone", "told"), [(30, 0.25, True), (24, 0.25, False), (4, 0.03, False)])
def test_the_forecast_is_a_straight_line(units: int, gone: float, told: bool, node: QuotaNode) -> None:
    spend(make(node), units, gone=gone)
    services.raise_alerts()
    services.raise_alerts()
    assert levels() == (["forecast"] if told else [])
    if told:
        assert "120.00 will be at this pace" in Alert.objects.get().message


def test_maintainers_get_a_letter_and_nobody_else(node: QuotaNode, mailbox: Mailbox) -> None:
    spend(make(node), 80)
    services.raise_alerts()
    assert services.deliver_alerts() == "1 sent"
    assert services.deliver_alerts() == ""
    ((to, letter),) = mailbox.letters
    assert to == ["mia@example.org"]
    assert "The budget of team Vision" in str(letter["Subject"]).replace("\n", "")
    assert "80.00 of 100.00 EUR" in str(letter.get_payload())
    assert letter["Auto-Submitted"] == "auto-generated"


def test_a_persons_own_budget_is_told_to_him_and_an_organizations_to_admins(
    node: QuotaNode, cast: Cast, mailbox: Mailbox
) -> None:
    own = quotas.ensure_node(NodeKind.USER, f"team:{cast.team.pk}/user:{cast.alice.pk}", name="a", parent=node)
    wide = quotas.ensure_node(NodeKind.ORGANIZATION, f"org:{cast.organization.pk}", name="o")
    for place in (own, wide, quotas.platform_node()):
        spend(make(place), 60)
    services.raise_alerts()
    services.deliver_alerts()
    assert [to for to, _ in mailbox.letters] == [["alice@example.org"], ["sre@example.org"], ["sre@example.org"]]


def test_without_a_mail_server_no_letter_is_written(node: QuotaNode, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    spend(make(node), 80)
    assert services.raise_alerts() == 1
    assert not Delivery.objects.exists()


def test_a_letter_that_is_refused_is_tried_again(node: QuotaNode, mailbox: Mailbox) -> None:
    spend(make(node), 80)
    services.raise_alerts()
    mailbox.refuses = True
    assert services.deliver_alerts() == "1 failed"
    row = Delivery.objects.get()
    assert (row.attempts, row.done_at) == (1, None)
    assert "550" in row.error
    assert row.next_at is not None
    assert row.next_at > timezone.now() + timedelta(seconds=50)
    mailbox.refuses = False
    Delivery.objects.update(next_at=timezone.now())
    assert services.deliver_alerts() == "1 sent"


def test_a_delivery_is_given_up_at_last(node: QuotaNode, hook: Hook) -> None:
    hook.status = 500
    spend(make(node, webhook_url=hook.url), 80)
    services.raise_alerts()
    Delivery.objects.update(attempts=11)
    assert services.deliver_alerts() == "1 failed"
    row = Delivery.objects.get(channel="webhook")
    assert (row.next_at, row.done_at, row.error) == (None, None, "Refused: answered 500")


def test_a_webhook_is_signed(node: QuotaNode, hook: Hook) -> None:
    budget = make(node, webhook_url=hook.url)
    spend(budget, 80)
    services.raise_alerts()
    assert services.deliver_alerts() == "1 sent"
    ((path, headers, body),) = hook.taken
    key = services.signing_key(budget.pk).encode()
    mac = hmac.new(key, headers["Fathom-Timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["Fathom-Signature"] == f"sha256={mac}"
    assert path == "/hook?a=1"
    told = json.loads(body)
    assert (told["level"], told["spent_micros"], told["budget"]) == ("80", 80 * MICROS, budget.pk)
    assert told["id"] == headers["Fathom-Event-Id"]
    assert services.signing_key(budget.pk) != services.signing_key(budget.pk + 1)


def test_a_redirect_is_not_followed(node: QuotaNode, hook: Hook) -> None:
    hook.status, hook.location = 302, hook.url
    spend(make(node, webhook_url=hook.url), 80)
    services.raise_alerts()
    assert services.deliver_alerts() == "1 failed"
    assert len(hook.taken) == 1


def test_nothing_goes_inside_unless_a_setting_lets_it(node: QuotaNode, hook: Hook, settings: Any) -> None:
    settings.ALERTS_MAY_GO_INSIDE = False
    spend(make(node, webhook_url=hook.url), 80)
    services.raise_alerts()
    assert services.deliver_alerts() == "1 failed"
    assert hook.taken == []
    assert "127.0.0.1, which is not a public address" in Delivery.objects.get().error


def test_a_name_is_judged_by_where_it_leads_and_asked_once(monkeypatch: pytest.MonkeyPatch, hook: Hook) -> None:
    """A name that is public at the check and private at the connection: there is no second question."""
    asked = []

    def resolve(host: str, port: int, **_: Any) -> Any:
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    connected: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: connected.append(address) or _refuse())
    with pytest.raises(outgoing.Refused, match="no way"):
        outgoing.post(f"http://rebind.example:{hook.server_address[1]}/", b"", {}, timeout=1)
    assert asked == ["rebind.example"]
    assert connected == [("93.184.216.34", hook.server_address[1])]


def _refuse() -> None:
    msg = "no way"
    raise OSError(msg)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_what_is_not_public(address: str) -> None:
    assert not outgoing.is_public(address)


def test_what_is_public() -> None:
    assert outgoing.is_public("93.184.216.34")
    assert outgoing.is_public("2606:2800:220:1::1")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x/", "http://", "nonsense"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(outgoing.Refused):
        outgoing.post(url, b"", {}, timeout=1)


def test_a_server_that_says_nothing_is_left_after_a_while() -> None:
    with silent() as server, pytest.raises(outgoing.Refused, match=r"(?i)time"):
        outgoing.post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"x", {}, timeout=0.2, may_go_inside=True)
