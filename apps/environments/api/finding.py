"""What the views have in common: the objects that an address names, and bodies that are read."""

from typing import Any, cast

from rest_framework.request import Request

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import NotFound
from apps.core.ids import id_in
from apps.environments import services
from apps.environments.models import Environment, EnvironmentVersion
from apps.environments.services import Contents

CONTENTS = ("packages", "python", "r_packages", "image", "variables")


def the_environment(request: Request, environment_id: str, action: str = "view") -> Environment:
    """Return the environment in the address. Raises: NotFound unless it is visible, NotAllowed with the reason."""
    user: Any = request.user
    rows: Any = Environment.objects.visible_to(user, "view").live().with_details()
    found = rows.filter(pk=id_in(environment_id)).first()
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


def contents_of(asked: dict[str, Any]) -> Contents:
    """Take what a version is made of out of a body. Raises: Invalid."""
    return services.read_contents(**{name: asked.pop(name) for name in CONTENTS if name in asked})
