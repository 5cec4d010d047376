"""The cast of every permission test.

alice owns; bob is in her team as a viewer; charlie is an outsider; dana was given the role editor by a grant; mia
maintains the team; olaf is in another team of the same organization; sre is the operator, and acts as one; aud audits;
ivan was disabled.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.access.principal import SYSTEM
from apps.accounts import acting
from apps.accounts import services as accounts
from apps.accounts.choices import PlatformRole
from apps.accounts.models import User, UserSession
from apps.accounts.sessions import SessionStore, digest
from apps.compute import services as compute
from apps.compute.models import Cluster
from apps.experiments import services as experiments
from apps.experiments.models import Experiment
from apps.teams import services as teams
from apps.teams.models import Organization, Team

PASSWORD = "correct horse battery"


@dataclass
class Cast:
    organization: Organization
    team: Team
    other_team: Team
    people: dict[str, User] = field(default_factory=dict)

    def __getattr__(self, name: str) -> User:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def again(self, name: str) -> User:
        """Load a person anew: without what an earlier judgement remembered on the object."""
        person = User.objects.get(pk=self.people[name].pk)
        return as_admin(person) if name == "sre" else person


NAMES = ("alice", "bob", "charlie", "dana", "mia", "olaf", "sre", "aud", "ivan")


def as_admin(user: User) -> User:
    """Let an admin act as one."""
    user.elevated_until = timezone.now() + timedelta(hours=1)
    return user


def browser_of(user: User | None, **headers: str) -> Client:
    """A browser in which `user` is logged in; an admin has taken up his rights."""
    client = Client(**headers)  # type: ignore[arg-type]
    if user is not None:
        client.force_login(user)
        if user.platform_role == PlatformRole.ADMIN:
            session = SessionStore(client.session.session_key)
            acting.keep_elevation(session, timezone.now() + timedelta(hours=1))
    return client


def in_browser(user: User) -> User:
    """Return the person as he acts in a browser of his own."""
    browser = browser_of(user)
    found = acting.person(user.pk, session=UserSession.objects.get(digest=digest(str(browser.session.session_key))).pk)
    assert found is not None
    return found


def make_cast() -> Cast:
    organization = teams.create_organization(slug="acme", name="Acme", by=SYSTEM)
    team = teams.create_team(organization, slug="vision", name="Vision", by=SYSTEM)
    other = teams.create_team(organization, slug="speech", name="Speech", by=SYSTEM)
    cast = Cast(organization, team, other)
    for name in NAMES:
        cast.people[name] = accounts.create_user(name, by=SYSTEM, password=PASSWORD, is_admin=name == "sre")
    for name, role in (("alice", "member"), ("bob", "viewer"), ("mia", "maintainer"), ("ivan", "maintainer")):
        teams.set_member(team, cast.people[name], role=role, by=SYSTEM)
    teams.set_member(other, cast.people["olaf"], role="member", by=SYSTEM)
    as_admin(cast.sre)
    accounts.set_platform_role(cast.aud, "auditor", by=SYSTEM)
    User.objects.filter(username="ivan").update(is_active=False)
    cast.people["ivan"].refresh_from_db()
    return cast


def fake_cluster(**settings: Any) -> Cluster:
    known = Cluster.objects.filter(name="fake").first()
    return known or compute.save_cluster(Cluster(name="fake", kind="fake", settings=settings), by=SYSTEM)


def submit(by: User, **spec: Any) -> Experiment:
    """Submit to the fake cluster."""
    return experiments.submit_experiment({"command": "true", "cluster": {"name": "fake"}, **spec}, by=by)


def share(experiment: Experiment, user: User, role: Role = Role.EDITOR) -> None:
    grants.grant(user, experiment.run, role)
