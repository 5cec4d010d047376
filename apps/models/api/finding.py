"""What the views of the registry have in common: the objects that an address names, and bodies that are read."""

from typing import Any, cast
from uuid import UUID

from rest_framework.request import Request

from apps.access import policy
from apps.audit.services import refused
from apps.core.errors import Invalid, NotFound
from apps.models import services
from apps.models.models import ModelVersion, RegisteredModel
from apps.teams.models import Team


def the_model(request: Request, model_id: str, action: str = "view") -> RegisteredModel:
    """Return the model in the address. Raises: NotFound unless it is visible, NotAllowed with the reason."""
    user: Any = request.user
    rows: Any = RegisteredModel.objects.visible_to(user, "view").live().select_related("owner", "team")
    try:
        found = rows.filter(pk=UUID(model_id)).first()
    except ValueError:
        found = None
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


def details_of(data: dict[str, Any]) -> services.Details:
    names = ("description", "environment", "signature", "datasets", "tags", "metrics", "source")
    return services.Details(**{name: data[name] for name in names if data.get(name)})
