"""What the pages of environments have in common."""

from typing import ClassVar
from uuid import UUID

from apps.access.views import GuardedView
from apps.audit.services import refused
from apps.core.errors import NotFound
from apps.environments import services
from apps.environments.models import Environment, EnvironmentVersion


class EnvironmentPage(GuardedView):
    """A page of one environment; `policy_action` is judged on it, also for a version of it."""

    shared_as: ClassVar[str] = "environment"

    def the_environment(self, pk: UUID) -> Environment:
        found: Environment = self.find(Environment.objects.live().select_related("owner", "team__organization"), pk=pk)
        return found

    def the_version(self, pk: UUID, number: int) -> EnvironmentVersion:
        """Return a version by number. Raises: NotFound, NotAllowed."""
        environment = self.the_environment(pk)
        version = services.version_numbered(environment, str(number))
        if version is None:
            raise refused(self.user, self.policy_action, environment, NotFound()) from None
        return version
