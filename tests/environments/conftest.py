"""Fixtures of this folder, and short ways to a version and through a worker's loops."""

from typing import Any

from apps.accounts.models import User
from apps.compute import services as compute
from apps.environments import services
from apps.environments.models import Environment, EnvironmentBuild, EnvironmentVersion
from tests.factories import cast, committed, stage

__all__ = ["cast", "committed", "stage"]


def make(by: User, name: str = "tools", packages: str = "six==1.16.0\n", **facts: Any) -> EnvironmentVersion:
    """Make an environment, and return its first version."""
    contents = {key: facts.pop(key) for key in ("python", "variables", "image", "r_packages") if key in facts}
    made = services.create_environment(name, services.read_contents(packages=packages, **contents), by=by, **facts)
    return newest(made)


def newest(environment: Environment) -> EnvironmentVersion:
    found = services.version_numbered(environment, "latest")
    assert found is not None
    return found


def build_of(version: EnvironmentVersion) -> EnvironmentBuild:
    return EnvironmentBuild.objects.get(version=version)


def work() -> None:
    """What a worker's loops do: build what is due, let go what waited."""
    services.build_due()
    compute.settle_held()
