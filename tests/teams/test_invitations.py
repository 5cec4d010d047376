"""Invitation links: who makes them, what they open, and that each works once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.teams import services
from apps.teams.models import Invitation, Membership
from tests.people import PASSWORD, Cast


def value_of(path: str) -> str:
    return path.removeprefix("/join/").removesuffix("/")


def invite(cast: Cast, role: str = "member", by: str = "mia", **facts: Any) -> str:
    return value_of(services.invite([(cast.team, role)], by=cast.people[by], **facts)[1])


def redeem(value: str, name: str = "newt") -> User:
    return services.redeem_invitation(value, username=name, password=PASSWORD)


def test_a_link_makes_an_account_in_the_team_once(cast: Cast) -> None:
    value = invite(cast, email="newt@example.org")
    assert services.find_invitation(value).email == "newt@example.org"
    user = redeem(value)
    assert accounts.log_in("newt", PASSWORD) == user
    assert (user.platform_role, Membership.objects.get(user=user).role) == ("", "member")
    assert set(user.groups.all()) == {cast.team.group, cast.organization.group}
    for again in (lambda: redeem(value, "other"), lambda: services.find_invitation(value)):
        with pytest.raises(NotFound):
            again()
    assert not User.objects.filter(username="other").exists()
    row = Invitation.objects.get()
    assert (row.state, row.redeemed_by) == ("redeemed", user)
    assert value not in row.digest
    event = AuditEvent.objects.get(action="redeem")
    assert (event.actor, event.data["on_behalf_of"]) == (user, "mia")


def test_who_is_logged_in_just_joins_and_never_loses_a_role(cast: Cast) -> None:
    assert services.join_by_invitation(invite(cast, "viewer"), user=cast.charlie) == [cast.team]
    services.join_by_invitation(invite(cast, "viewer"), user=cast.alice)
    services.join_by_invitation(invite(cast, "maintainer"), user=cast.bob)
    roles = dict(Membership.objects.filter(team=cast.team).values_list("user__username", "role"))
    assert (roles["charlie"], roles["alice"], roles["bob"]) == ("viewer", "member", "maintainer")
    assert Invitation.objects.pending().count() == 0


def test_an_admin_invites_into_several_teams(cast: Cast) -> None:
    places = [(cast.team, "viewer"), (cast.other_team, "maintainer")]
    made, path = services.invite(places, by=cast.sre)
    assert not Invitation.objects.visible_to(cast.mia, "view").exists()  # it leads into a team that is not hers
    user = redeem(value_of(path))
    roles = set(Membership.objects.filter(user=user).values_list("team__slug", "role"))
    assert roles == {("vision", "viewer"), ("speech", "maintainer")}
    assert made.made_by == cast.sre


@pytest.mark.parametrize(
    ("name", "error"),
    [("alice", NotAllowed), ("bob", NotAllowed), ("aud", NotAllowed), ("charlie", NotFound), ("olaf", NotFound)],
)
def test_others_invite_nobody(name: str, error: type[Exception], cast: Cast) -> None:
    with pytest.raises(error):
        invite(cast, by=name)
    assert not Invitation.objects.exists()


def test_a_maintainer_invites_into_his_own_team_only(cast: Cast) -> None:
    with pytest.raises(NotFound):
        services.invite([(cast.team, "viewer"), (cast.other_team, "viewer")], by=cast.mia)
    for places, person in (([], None), ([(cast.team, "viewer")], cast.bob)):
        with pytest.raises(NotAllowed):
            services.invite(places, by=cast.mia, for_user=person)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"role": "god"}, "role"),
        ({"expires_in": timedelta(0)}, "expires_in_days"),
        ({"expires_in": timedelta(seconds=-1)}, "expires_in_days"),
        ({"expires_in": timedelta(days=91)}, "expires_in_days"),
        ({"email": "nonsense"}, "email"),
    ],
)
def test_what_is_ill_formed_is_refused(facts: dict[str, Any], field: str, cast: Cast) -> None:
    if facts.get("expires_in") == timedelta(0):
        facts["expires_in"] = timedelta(microseconds=-1)
    with pytest.raises(Invalid) as refusal:
        invite(cast, **facts)
    assert field in refusal.value.errors


def test_the_setting_says_how_long(cast: Cast, settings: Any) -> None:
    settings.INVITATION_HOURS = 2
    invite(cast)
    left = Invitation.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=119) < left < timedelta(minutes=121)


def test_dead_links_open_nothing_and_look_alike(cast: Cast) -> None:
    expired, revoked = invite(cast), invite(cast)
    first, second = Invitation.objects.order_by("created_at")
    Invitation.objects.filter(pk=first.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    services.revoke_invitation(second, by=cast.mia)
    never = f"fth_inv_{'0' * 49}"
    details = set()
    for value in (expired, revoked, never, "", "x" * 5000, "ü"):
        for use in (
            lambda value=value: services.find_invitation(value),
            lambda value=value: redeem(value),
            lambda value=value: services.join_by_invitation(value, user=cast.charlie),
        ):
            with pytest.raises(NotFound) as refusal:
                use()
            details.add(refusal.value.detail)
    assert len(details) == 1
    assert not User.objects.filter(username="newt").exists()
    assert not Membership.objects.filter(user=cast.charlie).exists()


@pytest.mark.parametrize("how", ["removed", "lowered", "disabled"])
def test_a_link_dies_with_its_makers_right(how: str, cast: Cast) -> None:
    value = invite(cast)
    if how == "removed":
        services.remove_member(cast.team, cast.mia, by=cast.sre)
    elif how == "lowered":
        services.set_member(cast.team, cast.mia, role="member", by=cast.sre)
    else:
        accounts.disable_user(cast.mia, by=cast.sre, reason="left")
    with pytest.raises(NotFound):
        redeem(value)
    assert not User.objects.filter(username="newt").exists()


def test_an_admins_link_dies_when_he_is_none_any_more(cast: Cast) -> None:
    other = accounts.create_user("other", by=cast.sre, is_admin=True)
    from tests.people import as_admin

    value = value_of(services.invite([], by=as_admin(other))[1])
    accounts.set_platform_role(other, "", by=cast.sre)
    with pytest.raises(NotFound):
        redeem(value)


def test_a_refused_redemption_keeps_the_link(cast: Cast) -> None:
    value = invite(cast)
    for name, password in (("alice", PASSWORD), ("ALICE", PASSWORD), ("newt", "short"), ("a b", PASSWORD)):
        with pytest.raises(Invalid):
            services.redeem_invitation(value, username=name, password=password)
    assert redeem(value).username == "newt"


def test_a_link_for_an_account_opens_that_one_only(cast: Cast) -> None:
    person = accounts.create_user("fay", by=cast.sre)
    value = value_of(services.invite([], by=cast.sre, for_user=person)[1])
    with pytest.raises(NotFound):
        services.join_by_invitation(value, user=cast.charlie)
    assert services.redeem_invitation(value, password=PASSWORD, username="other") == person
    assert accounts.log_in("fay", PASSWORD) == person
    with pytest.raises(Conflict):
        services.invite([], by=cast.sre, for_user=person)
    assert not User.objects.filter(username="other").exists()


def test_no_link_gives_a_directory_account_a_password(cast: Cast) -> None:
    """The database would refuse it only when the link is used, with an error that nobody understands."""
    person = accounts.create_user("ana", by=SYSTEM)
    User.objects.filter(pk=person.pk).update(identity_source="ldap", external_id="uuid-of-ana")
    with pytest.raises(Conflict, match="can log in already, elsewhere"):
        services.invite([], by=cast.sre, for_user=person)
    assert not Invitation.objects.exists()


def test_a_link_is_revoked_by_who_may(cast: Cast) -> None:
    invite(cast)
    row = Invitation.objects.get()
    for name in ("alice", "bob", "charlie", "aud"):
        with pytest.raises((NotAllowed, NotFound)):
            services.revoke_invitation(row, by=cast.people[name])
    row.refresh_from_db()
    assert row.state == "pending"
    services.revoke_invitation(row, by=cast.sre)
    services.revoke_invitation(row, by=cast.sre)
    assert AuditEvent.objects.filter(action="revoke").count() == 1


def test_a_redeemed_link_is_not_revoked(cast: Cast) -> None:
    redeem(invite(cast))
    with pytest.raises(Conflict):
        services.revoke_invitation(Invitation.objects.get(), by=cast.mia)


def test_an_auditor_and_a_service_account_join_nothing(cast: Cast) -> None:
    robot = services.create_service_account(cast.other_team, name="ci", by=cast.sre)
    for person in (cast.aud, robot):
        with pytest.raises(NotAllowed):
            services.join_by_invitation(invite(cast), user=person)
    assert not Membership.objects.filter(user=cast.aud).exists()
