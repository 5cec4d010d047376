"""How long the files of a project's runs are kept."""

from typing import Any, ClassVar, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.api import GuardedAPI
from apps.core.errors import NotFound
from apps.tracking import services
from apps.tracking.api import documents
from apps.tracking.models import Project, Retention

_DAYS = {"min_value": 0, "max_value": services.LONGEST_DAYS, "allow_null": True}


class RetentionChangesSerializer(serializers.Serializer[Any]):
    """Days after the end, or the deletion, of a run, for which its files are kept; null: for ever."""

    days_after_end = serializers.IntegerField(**_DAYS, default=None)  # type: ignore[arg-type]  # one place for the bounds
    days_after_archive = serializers.IntegerField(**_DAYS, default=None)  # type: ignore[arg-type]  # as above


class RetentionSerializer(serializers.Serializer[Any]):
    """The rule that counts. `rule_of`: the project's own, its team's, or none."""

    rule_of = serializers.ChoiceField(choices=["project", "team", "none"])
    days_after_end = serializers.IntegerField(allow_null=True)
    days_after_archive = serializers.IntegerField(allow_null=True)


class RetentionView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": "project:view", "update": "project:delete", "destroy": "project:delete"}

    @extend_schema(
        operation_id="projects_retention_retrieve", parameters=[documents.PROJECT_ID], responses=RetentionSerializer
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Say how long files are kept."""
        return Response(_shown(services.rule_of(_find(request, id))))

    @extend_schema(
        operation_id="projects_retention_put",
        parameters=[documents.PROJECT_ID],
        request=RetentionChangesSerializer,
        responses=RetentionSerializer,
    )
    def update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Give the project a rule of its own. Pinned files, and those of model versions, are kept whatever it says."""
        project = _find(request, id)
        asked = RetentionChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return Response(_shown(services.set_retention(project, by=request.user, **asked.validated_data)))

    @extend_schema(operation_id="projects_retention_destroy", parameters=[documents.PROJECT_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take the project's own rule away: its team's counts again."""
        project = _find(request, id)
        services.end_retention(project, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(request: Request, text: str) -> Project:
    try:
        found = Project.objects.visible_to(cast("Any", request.user), "view").live().filter(pk=UUID(text)).first()
    except ValueError:
        raise NotFound from None
    if found is None:
        raise NotFound
    result: Project = found
    return result


def _shown(rule: Retention | None) -> dict[str, Any]:
    if rule is None:
        return {"rule_of": "none", "days_after_end": None, "days_after_archive": None}
    source = "project" if rule.project_id else "team"
    return {
        "rule_of": source,
        "days_after_end": rule.days_after_end,
        "days_after_archive": rule.days_after_archive,
    }
