"""What would change: accounts and memberships compared with what the directory says. Pure; nothing is read or written.

One function computes it for a login, for a dry run and for a sync, and what is applied is the plan that was computed.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from apps.accounts.choices import IdentitySource
from apps.directory.person import Person

Identity = tuple[str, str]  # source, external id


class Kind(StrEnum):
    """What happens to a person."""

    CREATE = "create"  # an account is made
    LINK = "link"  # an account that was told to forget its identity learns it anew
    RENAME = "rename"
    UPDATE = "update"  # mail or names
    ENABLE = "enable"  # he is back
    DISABLE = "disable"  # he has left
    JOIN = "join"
    CHANGE_ROLE = "change_role"
    LEAVE = "leave"
    PLATFORM_ROLE = "platform_role"
    REFUSE = "refuse"  # nothing happens, and this is why


@dataclass(frozen=True, slots=True)
class Rule:
    """`group` in the form of `person.group_key`."""

    source: str
    group: str
    team: str = ""
    role: str = ""
    platform_role: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """An account of a directory as it is now. `memberships`: team -> role, and whether the directory made it."""

    username: str
    source: str
    external_id: str
    is_active: bool = True
    has_left: bool = False  # disabled by a sync, not by a person
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    platform_role: str = ""
    given_platform_role: str = ""
    memberships: Mapping[str, tuple[str, bool]] = field(default_factory=dict)

    @property
    def identity(self) -> Identity:
        return self.source, self.external_id


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that happens to one person; `username` is the one he has when the plan begins."""

    kind: Kind
    username: str
    source: str
    external_id: str
    team: str = ""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        words = {
            Kind.CREATE: "gets an account",
            Kind.LINK: "is recognised anew",
            Kind.RENAME: f"is now called {self.after}",
            Kind.UPDATE: f"has a new {self.after}",
            Kind.ENABLE: "is back and may log in again",
            Kind.DISABLE: "has left and is shut out",
            Kind.JOIN: f"joins {self.team} as {self.after}",
            Kind.CHANGE_ROLE: f"becomes {self.after} of {self.team}, was {self.before}",
            Kind.LEAVE: f"leaves {self.team}, was {self.before}",
            Kind.PLATFORM_ROLE: f"has the platform role {self.after or 'none'}, had {self.before or 'none'}",
            Kind.REFUSE: f"is refused: {self.after}",
        }
        return f"{self.username} {words[self.kind]}"


@dataclass(frozen=True, slots=True)
class Limits:
    """A plan that shuts out, or takes memberships from, more people than `count` and more than `percent` is held back."""

    count: int = 5
    percent: int = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change. `held` says why it is not applied unless somebody insists."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Change, ...] = ()
    seen: int = 0
    held: str = ""
    people: Mapping[Identity, Person] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """Names exactly these changes: who confirms a plan confirms no other."""
        lines = sorted(json.dumps(asdict(change), sort_keys=True) for change in self.changes)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """How many changes of each kind."""
        found: dict[str, int] = defaultdict(int)
        for change in (*self.changes, *self.refusals):
            found[change.kind] += 1
        return {"seen": self.seen, **found}


@dataclass(frozen=True, slots=True)
class World:
    """What a plan is computed from, besides the people."""

    accounts: Sequence[Account] = ()
    taken: Mapping[str, Identity] = field(default_factory=dict)  # lower-case user name -> whose it is
    rules: Sequence[Rule] = ()
    limits: Limits = field(default_factory=Limits)
    whole: frozenset[str] = frozenset()  # sources of which `people` is everybody
    creates: bool = False  # make accounts for all people
    creates_ruled: bool = False  # make accounts for those to whom a rule gives something
    gives_platform_roles: bool = False


def compute_plan(people: Iterable[Person], world: World) -> Plan:
    """Return what would change."""
    known = {account.identity: account for account in world.accounts if account.external_id}
    forgotten = {
        (account.source, account.username.lower()): account for account in world.accounts if not account.external_id
    }
    found = {(person.source.value, person.external_id): person for person in people}
    changes: list[Change] = []
    present: set[str] = set()
    taken = dict(world.taken)
    for identity in sorted(found, key=lambda one: (found[one].username, one)):
        person = found[identity]
        account = known.get(identity) or forgotten.get((person.source.value, person.username))
        if account is not None:
            present.add(account.username)
        changes += _of_person(person, account, world, taken)
    absent = [
        one for one in world.accounts if one.source in world.whole and one.username not in present and one.is_active
    ]
    changes += [Change(Kind.DISABLE, one.username, one.source, one.external_id) for one in absent]
    done = tuple(change for change in changes if change.kind is not Kind.REFUSE)
    refused = tuple(change for change in changes if change.kind is Kind.REFUSE)
    return Plan(done, refused, len(found), _held(done, found, world), found)


def _of_person(person: Person, account: Account | None, world: World, taken: dict[str, Identity]) -> Iterator[Change]:
    identity = person.source.value, person.external_id
    wanted = _wanted(person, world.rules)
    if account is None:
        yield from _newcomer(person, wanted, world, taken)
        return
    if not account.is_active:
        if not (account.has_left and person.source in world.whole):
            return
        yield Change(Kind.ENABLE, account.username, *identity)
    if not account.external_id:
        yield Change(Kind.LINK, account.username, *identity)
    yield from _fields(person, account, taken)
    if person.gave_groups:
        yield from _memberships(account, identity, wanted)
        if world.gives_platform_roles:
            yield from _platform_role(account, identity, _wanted_platform_role(person, world.rules))


def _newcomer(person: Person, wanted: Mapping[str, str], world: World, taken: dict[str, Identity]) -> Iterator[Change]:
    identity = person.source.value, person.external_id
    platform_role = _wanted_platform_role(person, world.rules) if world.gives_platform_roles else ""
    if not (world.creates or (world.creates_ruled and (wanted or platform_role))):
        return
    if person.problem:
        yield Change(Kind.REFUSE, person.username, *identity, after=person.problem)
        return
    owner = taken.setdefault(person.username, identity)
    if owner != identity:
        yield Change(Kind.REFUSE, person.username, *identity, after=_taken_by(owner))
        return
    yield Change(Kind.CREATE, person.username, *identity)
    for team, role in sorted(wanted.items()):
        yield Change(Kind.JOIN, person.username, *identity, team=team, after=role)
    if platform_role:
        yield Change(Kind.PLATFORM_ROLE, person.username, *identity, after=platform_role)


def _taken_by(owner: Identity) -> str:
    source, external_id = owner
    if source == IdentitySource.LOCAL:
        return "a local account has this name, and a directory never opens a local account"
    return f"the name belongs to another identity ({source}: {external_id or 'unknown'})"


def _fields(person: Person, account: Account, taken: dict[str, Identity]) -> Iterator[Change]:
    identity = person.source.value, person.external_id
    # A provider of the web lets people choose their name; LDAP's operators give it.
    if person.source == IdentitySource.LDAP and person.username != account.username and not person.problem:
        owner = taken.get(person.username)
        if owner is None or owner == identity or person.username == account.username.lower():
            taken[person.username] = identity
            yield Change(Kind.RENAME, account.username, *identity, before=account.username, after=person.username)
    new = [name for name in ("email", "first_name", "last_name") if getattr(person, name) != getattr(account, name)]
    if new:
        yield Change(Kind.UPDATE, account.username, *identity, after=", ".join(new).replace("_", " "))


def _memberships(account: Account, identity: Identity, wanted: Mapping[str, str]) -> Iterator[Change]:
    for team in sorted({*account.memberships, *wanted}):
        role, is_ours = account.memberships.get(team, ("", True))
        if not is_ours:
            continue  # a hand made it
        after = wanted.get(team, "")
        if role and not after:
            yield Change(Kind.LEAVE, account.username, *identity, team=team, before=role)
        elif after and not role:
            yield Change(Kind.JOIN, account.username, *identity, team=team, after=after)
        elif role != after:
            yield Change(Kind.CHANGE_ROLE, account.username, *identity, team=team, before=role, after=after)


def _platform_role(account: Account, identity: Identity, wanted: str) -> Iterator[Change]:
    is_ours = account.platform_role in {"", account.given_platform_role}
    if is_ours and account.platform_role != wanted:
        yield Change(Kind.PLATFORM_ROLE, account.username, *identity, before=account.platform_role, after=wanted)


def _matching(person: Person, rules: Iterable[Rule]) -> Iterator[Rule]:
    return (rule for rule in rules if rule.source == person.source and rule.group in person.groups)


def _wanted(person: Person, rules: Iterable[Rule]) -> dict[str, str]:
    """Return team -> role; of several rules for one team the first counts."""
    wanted: dict[str, str] = {}
    for rule in _matching(person, rules):
        if rule.team:
            wanted.setdefault(rule.team, rule.role)
    return wanted


def _wanted_platform_role(person: Person, rules: Iterable[Rule]) -> str:
    return next((rule.platform_role for rule in _matching(person, rules) if rule.platform_role), "")


def _held(changes: Iterable[Change], found: Mapping[Identity, Person], world: World) -> str:
    """Say why the plan should not be applied without a second look."""
    for source in sorted(world.whole):
        active = sum(account.source == source and account.is_active for account in world.accounts)
        if active and not any(identity[0] == source for identity in found):
            return f"The directory ({source}) names nobody at all, and there are {active} accounts."
        for kind, words in ((Kind.DISABLE, "be shut out"), (Kind.LEAVE, "lose a team")):
            losers = len({change.username for change in changes if change.kind is kind and change.source == source})
            if losers > world.limits.count and losers * 100 > active * world.limits.percent:
                return f"{losers} of {active} people of the directory ({source}) would {words}."
    return ""
