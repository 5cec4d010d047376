"""What the views of the registry have in common: the objects that an address names, and bodies that are read."""

from typing import Any, cast

from rest_framework.request import Request

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import NotFound
from apps.core.ids import id_in
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel


def the_model(request: Request, model_id: str, action: str = "view") -> RegisteredModel:
    """Return the model in the address. Raises: NotFound unless it is visible, NotAllowed with the reason."""
    user: Any = request.user
    rows: Any = RegisteredModel.objects.visible_to(user, "view").live().select_related("owner", "team")
    found = rows.filter(pk=id_in(model_id)).first()
    if found is None:
        raise refused(user, action, "registry.registeredmodel", NotFound(), object_id=model_id)
    if action != "view":
        policy.require(user, action, found)
    return cast("RegisteredModel", found)


def the_version(model: RegisteredModel, reference: str) -> ModelVersion:
    """Return a version of a model that was found, by number, alias or "latest". Raises: NotFound."""
    version = services.find_version(model, reference)
    version.model = model
    return version


def details_of(data: dict[str, Any]) -> services.Details:
    names = ("description", "environment", "signature", "datasets", "tags", "metrics", "source")
    return services.Details(**{name: data[name] for name in names if data.get(name)})
