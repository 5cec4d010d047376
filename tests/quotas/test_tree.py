"""The tree: places of an admin's own, moving them, defaults and resources that are rows."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.access.principal import SYSTEM
from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.quotas.choices import NodeKind, in_units, words
from apps.quotas.models import QuotaDefault, QuotaLimit, QuotaNode, Reservation, Resource
from apps.quotas.services import Full
from tests.factories import assert_books_balance
from tests.people import Cast

pytestmark = pytest.mark.django_db


def used(node: QuotaNode, resource: str = "cpu") -> int:
    return QuotaLimit.objects.get(node=node, resource=resource).used


def at(key: str) -> QuotaNode:
    return QuotaNode.objects.get(key=key)


@pytest.fixture
def tree(cast: Cast) -> Cast:
    quota_node(cast.alice, cast.team)
    quota_node(cast.olaf, cast.other_team)
    return cast


def test_a_group_is_put_between_and_counts(tree: Cast) -> None:
    organization, team = at(f"org:{tree.organization.pk}"), at(f"team:{tree.team.pk}")
    user = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    held = quotas.reserve("before", user, [], {"cpu": 700})
    group = quotas.create_group("Research", organization, by=tree.sre)
    assert (group.kind, group.depth, group.path) == (NodeKind.GROUP, 2, [*organization.path, group.pk])
    quotas.move_node(team, group, by=tree.sre, reason="they belong there")
    user.refresh_from_db()
    assert user.path == [*group.path, team.pk, user.pk]
    assert (user.depth, team.depth) == (4, 3)
    assert [used(node) for node in (group, organization, team)] == [700, 700, 700]
    quotas.set_limit(group, "cpu", 1000, by=SYSTEM)
    full = quotas.reserve("after", user, [], {"cpu": 301})
    assert isinstance(full, Full)
    assert full.node == "group Research"
    assert_books_balance(live=1)
    assert isinstance(held, Reservation)
    quotas.release("before")
    assert_books_balance(live=0)
    assert AuditEvent.objects.get(action="move").reason == "they belong there"


def test_what_is_held_of_a_late_resource_moves_along(tree: Cast) -> None:
    """The new place has no row of it yet."""
    team = at(f"team:{tree.team.pk}")
    quotas.reserve("a", at(f"team:{tree.team.pk}/user:{tree.alice.pk}"), [], {"licenses": 1})
    group = quotas.create_group("Research", at(f"org:{tree.organization.pk}"), by=tree.sre)
    quotas.move_node(team, group, by=tree.sre, reason="x")
    assert used(group, "licenses") == 1
    assert_books_balance(live=1)


def test_moving_over_a_limit_stops_nothing(tree: Cast) -> None:
    organization, team = at(f"org:{tree.organization.pk}"), at(f"team:{tree.team.pk}")
    quotas.reserve("a", at(f"team:{tree.team.pk}/user:{tree.alice.pk}"), [], {"cpu": 700})
    group = quotas.create_group("Small", organization, by=tree.sre)
    quotas.set_limit(group, "cpu", 100, by=SYSTEM)
    quotas.move_node(team, group, by=tree.sre, reason="x")
    assert used(group) == 700
    assert isinstance(quotas.reserve("b", at(f"team:{tree.team.pk}/user:{tree.alice.pk}"), [], {"cpu": 1}), Full)
    assert_books_balance(live=1)


def test_moved_away_it_counts_there_no_more(tree: Cast) -> None:
    organization, team = at(f"org:{tree.organization.pk}"), at(f"team:{tree.team.pk}")
    quotas.reserve("a", at(f"team:{tree.team.pk}/user:{tree.alice.pk}"), [], {"cpu": 700})
    quotas.move_node(team, quotas.platform_node(), by=tree.sre, reason="x")
    assert (used(organization), used(quotas.platform_node())) == (0, 700)
    assert_books_balance(live=1)


def test_nothing_hangs_below_itself_or_a_person(tree: Cast) -> None:
    organization, team = at(f"org:{tree.organization.pk}"), at(f"team:{tree.team.pk}")
    for node, parent in ((organization, team), (team, team), (team, at(f"team:{tree.team.pk}/user:{tree.alice.pk}"))):
        with pytest.raises(Invalid):
            quotas.move_node(node, parent, by=tree.sre, reason="x")
    with pytest.raises(Invalid):
        quotas.move_node(quotas.platform_node(), organization, by=tree.sre, reason="x")
    with pytest.raises(Invalid):
        quotas.move_node(team, quotas.platform_node(), by=tree.sre, reason=" ")


def test_what_was_moved_meanwhile_is_not_moved_by_the_old_path(tree: Cast) -> None:
    team = at(f"team:{tree.team.pk}")
    stale = at(f"team:{tree.team.pk}")
    quotas.move_node(team, quotas.platform_node(), by=tree.sre, reason="x")
    with pytest.raises(Conflict):
        quotas.move_node(stale, at(f"org:{tree.organization.pk}"), by=tree.sre, reason="x")


@pytest.mark.parametrize("name", ["mia", "alice", "aud"])
def test_only_an_admin_changes_the_tree(tree: Cast, name: str) -> None:
    person = tree.people[name]
    with pytest.raises(NotAllowed):
        quotas.create_group("Mine", at(f"org:{tree.organization.pk}"), by=person)
    with pytest.raises(NotAllowed):
        quotas.move_node(at(f"team:{tree.team.pk}"), quotas.platform_node(), by=person, reason="x")
    assert not QuotaNode.objects.filter(kind=NodeKind.GROUP).exists()


# -- what a maintainer hands out


def test_a_maintainer_hands_out_what_the_team_has(tree: Cast) -> None:
    alice = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    quotas.set_limit(alice, "cpu", 64_000, by=tree.again("mia"), reason="all of it")
    with pytest.raises(Invalid, match="At most what team Vision has itself: 64 CPUs"):
        quotas.set_limit(alice, "cpu", 64_001, by=tree.again("mia"))
    with pytest.raises(Invalid):
        quotas.set_limit(alice, "cpu", None, by=tree.again("mia"))
    with pytest.raises(Invalid):
        quotas.set_limit(alice, "cpu", 64_000, by=tree.again("mia"), borrow=1)
    assert QuotaLimit.objects.get(node=alice, resource="cpu").limit == 64_000


def test_a_maintainer_does_not_raise_his_team_nor_another(tree: Cast) -> None:
    mia = tree.again("mia")
    with pytest.raises(NotAllowed):
        quotas.set_limit(at(f"team:{tree.team.pk}"), "cpu", 1, by=mia)
    for key in (f"team:{tree.other_team.pk}", f"team:{tree.other_team.pk}/user:{tree.olaf.pk}", "platform"):
        with pytest.raises(NotFound):
            quotas.set_limit(at(key), "cpu", 1, by=mia)


@pytest.mark.parametrize("name", ["alice", "bob", "olaf", "charlie"])
def test_others_hand_out_nothing(tree: Cast, name: str) -> None:
    node = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    with pytest.raises((NotAllowed, NotFound)):
        quotas.set_limit(node, "cpu", 1, by=tree.again(name))
    assert QuotaLimit.objects.get(node=node, resource="cpu").limit == 16_000


# -- resources and defaults are data


def test_a_new_resource_is_counted_at_nodes_that_were_there_before(tree: Cast) -> None:
    node = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    Resource.objects.create(name="licenses", title="Licenses")
    assert isinstance(quotas.reserve("a", node, [], {"licenses": 2}), Reservation)
    assert [used(at_, "licenses") for at_ in QuotaNode.objects.filter(pk__in=node.path)] == [2, 2, 2, 2]
    quotas.set_limit(at(f"team:{tree.team.pk}"), "licenses", 3, by=SYSTEM)
    assert isinstance(quotas.reserve("b", node, [], {"licenses": 2}), Full)
    assert_books_balance(live=1)


def test_nobody_asks_for_what_is_unknown() -> None:
    with pytest.raises(Invalid, match="There is no 'licenses' to ask for: no others here"):
        quotas.require_known({"cpu": 1, "licenses": 1})


def test_a_family_gives_the_unit() -> None:
    assert (in_units("gpu:a100", 1500), words("gpu:a100")) == ("1.5", "a100 GPUs")
    assert (in_units("disk:ssd", 1 << 30), words("disk:ssd")) == ("1", "GiB of ssd disk")


def test_a_default_of_an_admin_goes_before_the_settings(settings: Any) -> None:
    settings.QUOTA_DEFAULTS = {"user": {"cpu": 123, "gpu": 5}}
    QuotaDefault.objects.create(kind="user", resource="cpu", limit=7)
    QuotaDefault.objects.create(kind="user", resource="gpu", limit=None)
    node = quotas.ensure_node(NodeKind.USER, "user:77", name="x", parent=quotas.platform_node())
    limits = dict(QuotaLimit.objects.filter(node=node).values_list("resource", "limit"))
    assert (limits["cpu"], limits["gpu"], limits["memory"]) == (7, None, None)


# -- the database itself refuses


def test_the_database_refuses_more_than_the_limit(tree: Cast) -> None:
    node = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    with pytest.raises(IntegrityError, match="quota_not_exceeded"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            'UPDATE quotas_quotalimit SET used = "limit" + 1 WHERE node_id = %s AND resource = %s', [node.pk, "cpu"]
        )


def test_a_lowered_limit_lets_use_fall_and_not_rise(tree: Cast) -> None:
    node = at(f"team:{tree.team.pk}/user:{tree.alice.pk}")
    for key in "ab":
        quotas.reserve(key, node, [], {"cpu": 500})
    quotas.set_limit(node, "cpu", 200, by=SYSTEM)
    row = QuotaLimit.objects.get(node=node, resource="cpu")
    assert (row.used, row.ceiling) == (1000, 1000)
    with pytest.raises(IntegrityError), transaction.atomic():
        QuotaLimit.objects.filter(pk=row.pk).update(used=1001)
    quotas.release("a")
    row.refresh_from_db()
    assert (row.used, row.ceiling) == (500, 500)
    quotas.release("b")
    row.refresh_from_db()
    assert (row.used, row.ceiling) == (0, 200)


def test_a_limit_has_a_ceiling(tree: Cast) -> None:
    row = QuotaLimit.objects.get(node=at(f"team:{tree.team.pk}"), resource="cpu")
    with pytest.raises(IntegrityError, match="quota_limit_has_ceiling"), transaction.atomic():
        QuotaLimit.objects.filter(pk=row.pk).update(ceiling=None)
