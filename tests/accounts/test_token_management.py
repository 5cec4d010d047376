"""Addresses of tokens, their replacement, and whose a service account's are."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import addresses, recent, services
from apps.accounts.models import ApiToken, User
from apps.accounts.proof import Proof
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotAuthenticated, NotFound
from apps.core.middleware import RequestContext, current_request
from apps.teams import services as teams
from tests.people import PASSWORD, Cast, browser_of


class From:
    """The present request comes from this address."""

    def __init__(self, ip: str | None) -> None:
        self.ip = ip

    def __enter__(self) -> None:
        self.token = current_request.set(RequestContext("request-1", self.ip, "api"))

    def __exit__(self, *_error: object) -> None:
        current_request.reset(self.token)


@pytest.mark.parametrize(
    ("networks", "address", "held"),
    [
        (["10.0.0.0/8"], "10.9.8.7", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.9.8.7", True),
        (["2001:db8::/32"], "2001:db8::1", True),
        (["2001:db8::/32"], "10.0.0.1", False),
        (["fe80::1/128"], "fe80::1%eth0", True),
        (["10.0.0.0/8", "192.0.2.7/32"], "192.0.2.7", True),
        (["0.0.0.0/0"], None, False),
        (["0.0.0.0/0"], "no address", False),
    ],
)
def test_networks_hold_addresses(networks: list[str], address: str | None, held: bool) -> None:
    assert addresses.hold(networks, address) is held


def test_networks_are_written_in_one_spelling() -> None:
    assert addresses.parse([" 192.0.2.7 ", "", "2001:DB8::/32", "192.0.2.7/32"]) == ["192.0.2.7/32", "2001:db8::/32"]


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "example.org", "10.0.0.0/8; drop", "1" * 500])
def test_what_is_no_network_is_refused(text: str, cast: Cast) -> None:
    with pytest.raises(Invalid) as refusal:
        services.issue_token(cast.alice, by=cast.alice, name="t", addresses=[text])
    assert "addresses" in refusal.value.errors
    assert not ApiToken.objects.exists()


def test_too_many_networks_are_refused() -> None:
    with pytest.raises(Invalid):
        addresses.parse([f"10.0.{number}.0/24" for number in range(51)])


@pytest.mark.usefixtures("committed")
def test_a_token_works_from_its_addresses_only_also_while_it_is_remembered(cast: Cast) -> None:
    _, value = services.issue_token(cast.alice, by=cast.alice, name="t", addresses=["192.0.2.0/24"])
    for address, passes in (("192.0.2.5", True), ("198.51.100.1", False), ("192.0.2.6", True), (None, False)):
        with From(address):
            if passes:
                assert services.authenticate_token(value) == cast.alice
            else:
                with pytest.raises(NotAuthenticated) as refusal:
                    services.authenticate_token(value)
                assert refusal.value.extra["reason"] == "address"
    assert ApiToken.objects.get().last_used_ip == "192.0.2.5"  # a refusal is no use of it


def test_a_token_of_some_networks_makes_none_for_others(cast: Cast) -> None:
    held, _ = services.issue_token(cast.alice, by=cast.alice, name="t", addresses=["192.0.2.0/24", "2001:db8::/32"])
    everywhere, _ = services.issue_token(cast.alice, by=cast.alice, name="everywhere")
    me = cast.again("alice")
    me.token = held
    for wider in ([], ["192.0.2.0/23"], ["192.0.2.7", "198.51.100.1"], ["2001:db9::/32"]):
        with pytest.raises(NotAllowed, match="none that works from elsewhere"):
            services.issue_token(me, by=me, name="wider", addresses=wider)
    with pytest.raises(NotAllowed, match="none that works from elsewhere"):
        services.rotate_token(everywhere, by=me)
    made, _ = services.issue_token(me, by=me, name="same", addresses=["192.0.2.7", "2001:db8:1::/48"])
    assert made.addresses == ["192.0.2.7/32", "2001:db8:1::/48"]
    assert services.rotate_token(held, by=me)[0].addresses == held.addresses


def test_admin_rights_taken_up_with_a_token_stay_in_its_networks(cast: Cast) -> None:
    admin = User.objects.get(pk=cast.sre.pk)
    admin.token, _ = services.issue_token(admin, by=admin, name="t", addresses=["192.0.2.0/24"])
    token, _ = services.issue_admin_token(admin, proof=Proof(password=PASSWORD), reason="upgrade")
    assert token.addresses == ["192.0.2.0/24"]


def test_the_api_refuses_a_token_from_elsewhere(cast: Cast) -> None:
    _, value = services.issue_token(cast.alice, by=cast.alice, name="t", addresses=["192.0.2.0/24"])
    headers = {"HTTP_AUTHORIZATION": f"Bearer {value}"}
    inside, outside = (browser_of(None, REMOTE_ADDR=ip, **headers) for ip in ("192.0.2.5", "198.51.100.1"))
    assert inside.get("/api/v2/me/").status_code == 200
    answer = outside.get("/api/v2/me/")
    assert (answer.status_code, answer.json()["reason"]) == (401, "address")
    assert "alice" not in answer.text


def test_a_rotated_token_ends_after_the_overlap(cast: Cast) -> None:
    old, value = services.issue_token(
        cast.alice, by=cast.alice, name="ci", scopes=["read"], expires_in=timedelta(days=30), addresses=["10.0.0.0/8"]
    )
    new, other = services.rotate_token(old, by=cast.alice, overlap=timedelta(hours=24))
    assert value != other
    old.refresh_from_db()
    new.refresh_from_db()
    assert (new.name, new.scopes, new.addresses, new.replaces) == ("ci", ["read"], ["10.0.0.0/8"], old)
    assert old.expires_at is not None
    assert abs(old.expires_at - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
    assert new.expires_at is not None
    assert abs(new.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    event = AuditEvent.objects.get(action="rotate")
    assert (event.object_id, event.data["replaced_by"]) == (str(old.pk), str(new.pk))
    with From("10.1.1.1"):
        assert services.authenticate_token(value) == services.authenticate_token(other) == cast.alice


def test_without_overlap_the_old_token_ends_at_once(cast: Cast) -> None:
    old, value = services.issue_token(cast.alice, by=cast.alice, name="ci", expires_in=None)
    services.authenticate_token(value)
    services.rotate_token(old, by=cast.alice, overlap=timedelta(0))
    with pytest.raises(NotAuthenticated):
        services.authenticate_token(value)


def test_a_rotation_does_not_lengthen_the_old_token(cast: Cast) -> None:
    old, _ = services.issue_token(cast.alice, by=cast.alice, name="ci", expires_in=timedelta(hours=1))
    before = old.expires_at
    services.rotate_token(old, by=cast.alice, overlap=timedelta(days=7))
    old.refresh_from_db()
    assert old.expires_at == before


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_an_overlap_out_of_bounds_is_refused(cast: Cast, overlap: timedelta) -> None:
    old, _ = services.issue_token(cast.alice, by=cast.alice, name="ci")
    with pytest.raises(Invalid):
        services.rotate_token(old, by=cast.alice, overlap=overlap)
    assert ApiToken.objects.count() == 1


def test_what_cannot_be_replaced(cast: Cast) -> None:
    once, _ = services.issue_token(cast.alice, by=cast.alice, name="ci")
    services.rotate_token(once, by=cast.alice)
    ended, _ = services.issue_token(cast.alice, by=cast.alice, name="ended")
    services.revoke_token(ended, by=cast.alice)
    services.issue_run_token(cast.alice, bound_to="run:1", purpose="p", scopes=["run:log"], expires_in=timedelta(1))
    run = ApiToken.objects.get(kind="run")
    for token in (once, ended, run):
        with pytest.raises(Conflict):
            services.rotate_token(token, by=cast.alice)
    assert ApiToken.objects.count() == 4


@pytest.mark.parametrize("name", ["bob", "mia", "charlie"])
def test_nobody_rotates_anothers_token(name: str, cast: Cast) -> None:
    token, _ = services.issue_token(cast.alice, by=cast.alice, name="ci")
    with pytest.raises(NotFound):
        services.rotate_token(token, by=cast.people[name])
    with pytest.raises(NotAllowed):  # an admin ends it, and never has its value
        services.rotate_token(token, by=cast.sre)
    assert ApiToken.objects.count() == 1


def test_a_narrow_token_does_not_rotate_a_wider_one(cast: Cast) -> None:
    wide, _ = services.issue_token(cast.alice, by=cast.alice, name="wide")
    user = User.objects.get(pk=cast.alice.pk)
    user.token = ApiToken(user=user, scopes=["apitoken:rotate"])
    with pytest.raises(NotAllowed):
        services.rotate_token(wide, by=user)
    assert ApiToken.objects.count() == 1


def acting_through(token: ApiToken) -> User:
    user = User.objects.get(pk=token.user_id)
    user.token = token
    return user


@pytest.mark.usefixtures("committed")
def test_addresses_are_changed_and_hold_at_once(cast: Cast) -> None:
    token, value = services.issue_token(cast.alice, by=cast.alice, name="t")
    with From("198.51.100.1"):
        assert services.authenticate_token(value) == cast.alice
        changed = services.set_token_addresses(token, ["192.0.2.7", "10.0.0.0/8"], by=cast.alice, reason="moved")
        with pytest.raises(NotAuthenticated):
            services.authenticate_token(value)
    assert changed.addresses == ["192.0.2.7/32", "10.0.0.0/8"]
    event = AuditEvent.objects.get(action="set_addresses")
    assert (event.actor, event.object_id, event.reason) == (cast.alice, str(token.pk), "moved")
    assert (event.data["before"], event.data["after"]) == ([], changed.addresses)
    services.set_token_addresses(token, changed.addresses, by=cast.alice)
    assert AuditEvent.objects.filter(action="set_addresses").count() == 1  # the same again is no change
    services.set_token_addresses(token, [], by=cast.sre)
    with From("198.51.100.1"):
        assert services.authenticate_token(value) == cast.alice


def test_addresses_of_what_ended_or_belongs_to_a_run_stay(cast: Cast) -> None:
    ended, _ = services.issue_token(cast.alice, by=cast.alice, name="ended")
    services.revoke_token(ended, by=cast.alice)
    services.issue_run_token(cast.alice, bound_to="run:1", purpose="p", scopes=["run:log"], expires_in=timedelta(1))
    for token in (ended, ApiToken.objects.get(kind="run")):
        with pytest.raises(Conflict):
            services.set_token_addresses(token, ["10.0.0.0/8"], by=cast.alice)
    live, _ = services.issue_token(cast.alice, by=cast.alice, name="live")
    with pytest.raises(Invalid):
        services.set_token_addresses(live, ["here"], by=cast.alice)
    assert not any(token.addresses for token in ApiToken.objects.all())


@pytest.mark.parametrize(
    ("wanted", "limits", "within"),
    [
        ([], [], True),
        (["10.0.0.0/8"], [], True),
        ([], ["10.0.0.0/8"], False),
        (["10.1.0.0/16"], ["10.0.0.0/8"], True),
        (["10.1.0.0/16", "192.0.2.0/24"], ["10.0.0.0/8"], False),
        (["10.0.0.0/7"], ["10.0.0.0/8"], False),
        (["2001:db8::/64"], ["10.0.0.0/8", "2001:db8::/32"], True),
        (["2001:db8::/64"], ["0.0.0.0/0"], False),
        (["10.1.0.0/16"], ["::/0"], False),
    ],
)
def test_networks_lie_within_others(wanted: list[str], limits: list[str], within: bool) -> None:
    assert addresses.lie_within(wanted, limits) is within


def test_a_token_tied_to_networks_frees_none_from_them(cast: Cast) -> None:
    tied, _ = services.issue_token(cast.alice, by=cast.alice, name="tied", addresses=["10.0.0.0/8"])
    free, _ = services.issue_token(cast.alice, by=cast.alice, name="free")
    acting = acting_through(tied)
    for write in (
        lambda: services.set_token_addresses(tied, [], by=acting),
        lambda: services.set_token_addresses(tied, ["192.0.2.0/24"], by=acting),
        lambda: services.issue_token(acting, by=acting, name="x"),
        lambda: services.rotate_token(free, by=acting),
    ):
        with pytest.raises(NotAllowed, match="tied to networks"):
            write()
    services.issue_token(acting, by=acting, name="narrower", addresses=["10.1.0.0/16"])
    services.set_token_addresses(tied, ["10.1.0.0/16"], by=acting)
    services.rotate_token(tied, by=acting_through(tied))
    assert ApiToken.objects.count() == 4


@pytest.fixture
def robot(cast: Cast) -> User:
    return teams.create_service_account(cast.team, name="ci", by=cast.mia)


def test_a_maintainer_keeps_a_service_accounts_tokens(cast: Cast, robot: User) -> None:
    token, value = services.issue_token(robot, by=cast.mia, name="ci", scopes=["read"])
    assert token.kind == "svc"
    assert value.startswith("fth_svc_")
    assert services.authenticate_token(value) == robot
    assert services.set_token_addresses(token, ["10.0.0.0/8"], by=cast.mia).addresses == ["10.0.0.0/8"]
    new, _ = services.rotate_token(token, by=cast.mia)
    services.revoke_token(new, by=cast.mia)
    assert set(ApiToken.objects.visible_to(cast.mia, "view")) == {token, new}
    assert AuditEvent.objects.get(action="revoke").actor == cast.mia


@pytest.mark.parametrize(
    ("name", "error"),
    [("alice", NotAllowed), ("bob", NotAllowed), ("charlie", NotFound), ("olaf", NotFound), ("aud", NotAllowed)],
)
def test_others_do_not(name: str, error: type[Exception], cast: Cast, robot: User) -> None:
    token, _ = services.issue_token(robot, by=cast.mia, name="ci")
    person = cast.people[name]
    with pytest.raises(error):
        services.issue_token(robot, by=person, name="mine")
    tie = partial(services.set_token_addresses, addresses=["10.0.0.0/8"])
    for write in (services.revoke_token, services.rotate_token, tie):
        with pytest.raises((NotAllowed, NotFound)):
            write(token, by=person)
    assert (ApiToken.objects.get().revoked_at, ApiToken.objects.get().addresses) == (None, [])


def test_an_auditor_who_maintains_a_team_ties_no_token_of_it(cast: Cast, robot: User) -> None:
    token, _ = services.issue_token(robot, by=cast.mia, name="ci")
    teams.set_member(cast.team, cast.aud, role="maintainer", by=cast.sre)
    with pytest.raises(NotAllowed):
        services.set_token_addresses(token, ["10.0.0.0/8"], by=cast.aud)
    assert ApiToken.objects.get().addresses == []


def test_a_service_account_makes_no_tokens_itself(cast: Cast, robot: User) -> None:
    token, value = services.issue_token(robot, by=cast.mia, name="ci")
    acting = services.authenticate_token(value)
    for write in (
        lambda: services.issue_token(acting, by=acting, name="x"),
        lambda: services.rotate_token(token, by=acting),
        lambda: services.set_token_addresses(token, [], by=acting),
    ):
        with pytest.raises(NotAllowed):
            write()
    services.revoke_token(token, by=acting)  # it may always give up
    assert ApiToken.objects.count() == 1


def test_a_service_token_is_never_an_admins(cast: Cast, robot: User) -> None:
    with pytest.raises(Invalid):
        services.issue_token(robot, by=cast.sre, name="ci", scopes=["admin"], expires_in=timedelta(hours=1))
    assert not ApiToken.objects.exists()


def test_forgotten_tokens_are_found(cast: Cast) -> None:
    names: Any = {}
    for name, age, used in (("new", 1, None), ("never", 91, None), ("long ago", 200, 91), ("lately", 200, 1)):
        token, _ = services.issue_token(cast.alice, by=cast.alice, name=name, expires_in=None)
        now = timezone.now()
        facts = {"created_at": now - timedelta(days=age), "last_used_at": used and now - timedelta(days=used)}
        ApiToken.objects.filter(pk=token.pk).update(**facts)
        names[token.pk] = name
    found = ApiToken.objects.unused_since(timezone.now() - timedelta(days=90))
    assert {names[token.pk] for token in found} == {"never", "long ago"}


@pytest.fixture(autouse=True)
def _forget() -> None:
    recent._forget()
