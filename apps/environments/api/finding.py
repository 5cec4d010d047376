"""What the views have in common: the objects that an address names, and bodies that are read."""

from typing import Any, cast
from uuid import UUID

from rest_framework.request import Request

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import Invalid, NotFound
from apps.environments import services
from apps.environments.models import Environment, EnvironmentVersion
from apps.environments.services import Contents
from apps.teams.models import Team

CONTENTS = ("packages", "python", "r_packages", "image", "variables")


def the_environment(request: Request, environment_id: str, action: str = "view") -> Environment:
    """Return the environment in the address. Raises: NotFound unless it is visible, NotAllowed with the reason."""
    user: Any = request.user
    rows: Any = Environment.objects.visible_to(user, "view").live().with_details()
    try:
        found = rows.filter(pk=UUID(environment_id)).first()
    except ValueError:
        found = None
    if found is None:
        raise refused(user, action, "environments.environment", NotFound(), object_id=environment_id)
    if action != "view":
        policy.require(user, action, found)
    return cast("Environment", found)


def the_version(environment: Environment, number: str) -> EnvironmentVersion:
    """Return a version of an environment that was found. Raises: NotFound."""
    version = services.version_numbered(environment, number)
    if version is None:
        raise NotFound
    return version


def the_team(slug: str | None, by: Any) -> Team | None:
    """Return a team the caller is in. Raises: Invalid."""
    if slug is None:
        return None
    team = Team.objects.visible_to(by, "view").filter(slug=slug).first()
    if team is None:
        raise Invalid(errors={"team": ["There is no such team, or you are not in it."]})
    return team


def asked_for(serializer: Any, request: Request) -> dict[str, Any]:
    """Read a body. Raises: ValidationError."""
    asked = serializer(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def contents_of(asked: dict[str, Any]) -> Contents:
    """Take what a version is made of out of a body. Raises: Invalid."""
    return services.read_contents(**{name: asked.pop(name) for name in CONTENTS if name in asked})
