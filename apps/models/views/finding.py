"""What the pages of the registry have in common."""

from uuid import UUID

from apps.access.views import GuardedView
from apps.audit.services import refused
from apps.core.errors import NotFound
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel


class ModelPage(GuardedView):
    """A page of one model; `policy_action` is judged on it, also for a version of it."""

    shared_as = "registeredmodel"

    def the_model(self, pk: UUID) -> RegisteredModel:
        found: RegisteredModel = self.find(
            RegisteredModel.objects.live().select_related("owner", "team__organization"), pk=pk
        )
        return found

    def the_version(self, pk: UUID, number: int) -> ModelVersion:
        """Return a version by number. Raises: NotFound, NotAllowed."""
        model = self.the_model(pk)
        try:
            version = services.find_version(model, number)
        except NotFound as error:
            raise refused(self.user, self.policy_action, model, error) from None
        version.model = model
        return version
