"""What a plan says, without any server or database."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.accounts.choices import IdentitySource
from apps.directory.ldap.nesting import groups_of_everybody
from apps.directory.person import Person, group_key, mail
from apps.directory.planning import Account, Kind, Limits, Plan, Rule, World, compute_plan

LDAP = IdentitySource.LDAP
WHOLE = frozenset({"ldap"})
MEMBER = Rule("ldap", "vision", team="vision", role="member")


def person(name: str, *groups: str, **more: object) -> Person:
    return Person(LDAP, f"id-{name}", name, groups=frozenset(groups), **more)


def account(name: str, **more: object) -> Account:
    return Account(name, "ldap", f"id-{name}", **more)


def plan_of(people: list[Person], accounts: list[Account], *rules: Rule, **more: object) -> Plan:
    taken = {one.username: one.identity for one in accounts} | more.pop("taken", {})
    return compute_plan(people, World(accounts=accounts, taken=taken, rules=rules, **more))


def told(plan: Plan) -> list[str]:
    return [str(change) for change in (*plan.changes, *plan.refusals)]


def test_a_rule_gives_a_membership() -> None:
    assert told(plan_of([person("ana", "vision")], [account("ana")], MEMBER)) == ["ana joins vision as member"]


def test_the_first_rule_of_a_team_counts() -> None:
    lead = Rule("ldap", "leads", team="vision", role="maintainer")
    both = [person("ana", "vision", "leads")]
    assert told(plan_of(both, [account("ana")], lead, MEMBER)) == ["ana joins vision as maintainer"]
    assert told(plan_of(both, [account("ana")], MEMBER, lead)) == ["ana joins vision as member"]


def test_a_membership_that_the_directory_made_follows_it() -> None:
    mine = {"vision": ("viewer", True), "speech": ("member", True)}
    plan = plan_of([person("ana", "vision")], [account("ana", memberships=mine)], MEMBER)
    assert told(plan) == ["ana leaves speech, was member", "ana becomes member of vision, was viewer"]


def test_a_membership_that_a_hand_made_is_left_alone() -> None:
    by_hand = {"vision": ("viewer", False), "speech": ("member", False)}
    assert told(plan_of([person("ana", "vision")], [account("ana", memberships=by_hand)], MEMBER)) == []


def test_rules_of_another_directory_give_nothing() -> None:
    rule = replace(MEMBER, source="oidc")
    assert told(plan_of([person("ana", "vision")], [account("ana")], rule)) == []


def test_without_word_of_groups_nobody_loses_any() -> None:
    mine = {"vision": ("member", True)}
    assert told(plan_of([person("ana", gave_groups=False)], [account("ana", memberships=mine)], MEMBER)) == []


def test_a_newcomer() -> None:
    new = [person("ana", "vision"), person("ben")]
    assert told(plan_of(new, [], MEMBER)) == []
    assert told(plan_of(new, [], MEMBER, creates_ruled=True)) == ["ana gets an account", "ana joins vision as member"]
    assert told(plan_of(new, [], MEMBER, creates=True))[-1] == "ben gets an account"


@pytest.mark.parametrize(
    ("owner", "why"),
    [
        (("local", ""), "a local account has this name, and a directory never opens a local account"),
        (("ldap", "id-before"), "the name belongs to another identity (ldap: id-before)"),
        (("oidc", "https://x|1"), "the name belongs to another identity (oidc: https://x|1)"),
    ],
)
def test_a_name_that_is_taken_is_refused(owner: tuple[str, str], why: str) -> None:
    plan = plan_of([person("ana", "vision")], [], MEMBER, creates=True, taken={"ana": owner})
    assert plan.changes == ()
    assert told(plan) == [f"ana is refused: {why}"]


def test_two_newcomers_of_one_name() -> None:
    twins = [person("ana"), replace(person("ana"), external_id="id-other")]
    plan = plan_of(twins, [], creates=True)
    assert [change.kind for change in (*plan.changes, *plan.refusals)] == [Kind.CREATE, Kind.REFUSE]


@pytest.mark.parametrize("name", ["two words", "", "x" * 151, "a/b"])
def test_a_name_that_cannot_be(name: str) -> None:
    plan = plan_of([replace(person("ana"), username=name)], [], creates=True)
    assert (plan.changes, len(plan.refusals)) == ((), 1)


def test_an_entry_gone_bad_does_not_make_a_leaver() -> None:
    bad = replace(person("ana"), username="two words")
    assert told(plan_of([bad], [account("ana")], whole=WHOLE)) == []


def test_leavers_are_disabled_only_when_everybody_is_known() -> None:
    accounts = [account("ana"), account("ben")]
    assert told(plan_of([person("ana")], accounts)) == []
    assert told(plan_of([person("ana")], accounts, whole=WHOLE)) == ["ben has left and is shut out"]


def test_who_is_back_is_let_in_only_if_a_sync_shut_him_out() -> None:
    people = [person("ana", "vision"), person("ben", "vision")]
    accounts = [account("ana", is_active=False, has_left=True), account("ben", is_active=False)]
    plan = plan_of(people, accounts, MEMBER, whole=WHOLE)
    assert told(plan) == ["ana is back and may log in again", "ana joins vision as member"]


def test_accounts_of_other_directories_do_not_leave() -> None:
    other = Account("olga", "oidc", "https://x|1")
    assert told(plan_of([person("ana")], [account("ana"), other], whole=WHOLE)) == []


@pytest.mark.parametrize(("leavers", "held"), [(5, False), (6, True)])
def test_suspiciously_many_leavers_hold_a_plan_back(leavers: int, held: bool) -> None:
    accounts = [account(f"p{number:02}") for number in range(20)]
    people = [person(one.username) for one in accounts[leavers:]]
    plan = plan_of(people, accounts, whole=WHOLE)
    assert len(plan.changes) == leavers
    assert bool(plan.held) == held


def test_many_leavers_of_very_many_are_an_ordinary_day() -> None:
    accounts = [account(f"p{number:03}") for number in range(100)]
    assert not plan_of([person(one.username) for one in accounts[20:]], accounts, whole=WHOLE).held
    assert plan_of([person(one.username) for one in accounts[21:]], accounts, whole=WHOLE).held


def test_nobody_at_all_is_never_believed() -> None:
    assert "names nobody at all" in plan_of([], [account("ana")], whole=WHOLE).held
    assert plan_of([], [], whole=WHOLE).held == ""


def test_many_who_would_lose_a_team_hold_a_plan_back() -> None:
    mine = {"vision": ("member", True)}
    accounts = [account(f"p{number}", memberships=mine) for number in range(8)]
    plan = plan_of([person(one.username) for one in accounts], accounts, MEMBER, whole=WHOLE)
    assert plan.held == "8 of 8 people of the directory (ldap) would lose a team."


def test_platform_roles_need_the_flag() -> None:
    rule = Rule("ldap", "ops", platform_role="admin")
    assert told(plan_of([person("ana", "ops")], [account("ana")], rule)) == []
    plan = plan_of([person("ana", "ops")], [account("ana")], rule, gives_platform_roles=True)
    assert told(plan) == ["ana has the platform role admin, had none"]


@pytest.mark.parametrize(
    ("role", "given", "expected"),
    [
        ("auditor", "auditor", ["ana has the platform role none, had auditor"]),
        ("auditor", "", []),  # a hand gave it
        ("admin", "auditor", []),  # a hand raised it
    ],
)
def test_a_platform_role_is_taken_back_only_if_a_rule_gave_it(role: str, given: str, expected: list[str]) -> None:
    mine = account("ana", platform_role=role, given_platform_role=given)
    assert told(plan_of([person("ana")], [mine], gives_platform_roles=True)) == expected


def test_renamed() -> None:
    moved = replace(person("ana"), username="anastasia")
    assert told(plan_of([moved], [account("ana")])) == ["ana is now called anastasia"]
    assert told(plan_of([moved], [account("ana")], taken={"anastasia": ("local", "")})) == []


@pytest.mark.parametrize("name", ["svc.vision.ci", "import"])
def test_a_name_that_no_person_may_have_is_not_given_by_a_directory(name: str) -> None:
    moved = replace(person("ana"), username=name)
    assert told(plan_of([moved], [account("ana")])) == []
    plan = plan_of([moved], [], creates=True)
    assert (plan.changes, [change.kind for change in plan.refusals]) == ((), [Kind.REFUSE])


def test_the_digest_names_exactly_these_changes() -> None:
    one = plan_of([person("ana", "vision")], [account("ana")], MEMBER)
    other = plan_of([person("ana", "vision")], [account("ana")], replace(MEMBER, role="viewer"))
    assert one.digest == plan_of([person("ana", "vision")], [account("ana")], MEMBER).digest
    assert one.digest != other.digest


# The cores are shared: how long an example takes says nothing.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PEOPLE = st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from(["g1", "g2", "g3"])), max_size=8)


@PATIENT
@given(PEOPLE, PEOPLE)
def test_a_plan_that_was_applied_leaves_nothing_to_do(before: dict, after: dict) -> None:
    """Apply the words of a plan by hand to plain accounts: the second plan is empty."""
    rules = [Rule("ldap", f"g{number}", team=f"t{number % 2}", role=role) for number, role in
             ((1, "member"), (2, "viewer"), (3, "maintainer"))]  # fmt: skip
    accounts: dict[str, Account] = {}
    for told_by in (before, after):
        people = [person(name, *groups) for name, groups in told_by.items()]
        plan = plan_of(people, list(accounts.values()), *rules, creates=True, whole=WHOLE, limits=Limits(100, 100))
        for change in plan.changes:
            accounts[change.username] = _applied(accounts.get(change.username), change)
        again = plan_of(people, list(accounts.values()), *rules, creates=True, whole=WHOLE, limits=Limits(100, 100))
        assert again.changes == ()
    assert {name for name, one in accounts.items() if one.is_active} == set(after)


def _applied(one: Account | None, change) -> Account:
    if one is None:
        return account(change.username)
    teams = dict(one.memberships)
    match change.kind:
        case Kind.DISABLE:
            return replace(one, is_active=False, has_left=True)
        case Kind.ENABLE:
            return replace(one, is_active=True, has_left=False)
        case Kind.LEAVE:
            del teams[change.team]
        case _:
            teams[change.team] = (change.after, True)
    return replace(one, memberships=teams)


NAMES = st.sampled_from("abcdef")


@PATIENT
@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=6))
def test_nested_groups_are_what_one_can_reach(members: dict[str, list[str]]) -> None:
    """Compared with the plainest way: repeat until nothing is new. Circles are among the examples."""
    edges = {(name, group) for group, names in members.items() for name in names}
    reach = set(edges)
    while more := {(a, d) for a, b in reach for c, d in edges if b == c} - reach:
        reach |= more
    found = groups_of_everybody(members)
    assert {(name, group) for name, groups in found.items() for group in groups} == reach


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cn=Vision,ou=Groups,dc=example,dc=org", "CN=vision, OU=groups, DC=example, DC=org"),
        ("cn=a\\,b,dc=x", "cn=A\\,B, dc=X"),
        ("Vision", " vision "),
    ],
)
def test_ldap_groups_are_compared_without_case_and_blanks(one: str, other: str) -> None:
    assert group_key("ldap", one) == group_key("ldap", other)


def test_claims_are_compared_as_they_are() -> None:
    assert group_key("oidc", "Vision") != group_key("oidc", "vision")


@pytest.mark.parametrize(
    ("given_", "kept"), [("a@b.example", "a@b.example"), ("nonsense", ""), ("", ""), ("a\x00@b.c", "")]
)
def test_mail(given_: str, kept: str) -> None:
    assert mail(given_) == kept
