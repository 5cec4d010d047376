from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedViewSet
from apps.core.errors import Invalid
from apps.credentials import services
from apps.credentials.api import serializers
from apps.credentials.choices import Kind
from apps.credentials.models import Credential
from apps.teams.models import Team

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)
_FILTERS = [
    OpenApiParameter("name", OpenApiTypes.STR, description="Exactly this name."),
    OpenApiParameter("kind", OpenApiTypes.STR, enum=Kind.values),
    OpenApiParameter("usable", OpenApiTypes.BOOL, description="Only those I may use."),
]


class CredentialViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Credentials, without their values: those are written here and never read."""

    model = Credential
    queryset = Credential.objects.none()
    serializer_class = serializers.CredentialSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "create": "create",
        "partial_update": "edit",
        "destroy": "delete",
        "replace": "replace",
        "uses": "uses",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @extend_schema(operation_id="credentials_list", parameters=_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the credentials I may see, newest first."""
        page = self.paginate_queryset(self._asked_for(request))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="credentials_retrieve", parameters=[_ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="credentials_create",
        request=serializers.NewCredentialSerializer,
        responses={201: serializers.CredentialSerializer},
    )
    def create(self, request: Request) -> Response:
        """Keep a secret, my own or a team's."""
        asked = serializers.NewCredentialSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        place = _team(data.pop("team"), request.user)
        name, kind, values = data.pop("name"), data.pop("kind"), data.pop("values")
        credential = services.create_credential(name, kind, values, by=request.user, team=place, **data)
        return self._answer(credential, status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="credentials_update",
        parameters=[_ID],
        request=serializers.CredentialChangesSerializer,
        responses=serializers.CredentialSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change name, description, visibility or expiry."""
        credential = self.get_object()
        asked = serializers.CredentialChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return self._answer(services.update_credential(credential, by=request.user, **asked.validated_data))

    @extend_schema(operation_id="credentials_delete", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Destroy the value at once. What waits for its start with it will fail."""
        services.delete_credential(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="credentials_replace",
        parameters=[_ID],
        request=serializers.NewValueSerializer,
        responses=serializers.CredentialSerializer,
    )
    @action(detail=True, methods=["post"])
    def replace(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Put a new value in place of the old one, which is destroyed."""
        credential = self.get_object()
        asked = serializers.NewValueSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        return self._answer(
            services.replace_credential(credential, data["values"], by=request.user, reason=data["reason"])
        )

    @extend_schema(
        operation_id="credentials_uses",
        parameters=[_ID],
        responses=serializers.CredentialUseSerializer(many=True),
        filters=False,
    )
    @action(detail=True, methods=["get"])
    def uses(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """List the jobs it was given to, newest first."""
        page = self.paginate_queryset(self.get_object().uses.with_details())
        return self.get_paginated_response(serializers.CredentialUseSerializer(page, many=True).data)

    def _answer(self, credential: Credential, code: int = status.HTTP_200_OK) -> Response:
        credential.refresh_from_db()
        return Response(self.get_serializer(credential).data, status=code)

    def _asked_for(self, request: Request) -> QuerySet[Any]:
        rows: Any = self.get_queryset()
        asked = request.query_params
        if "name" in asked:
            rows = rows.filter(name=asked["name"].replace("\x00", ""))
        if "kind" in asked:
            if asked["kind"] not in Kind.values:
                raise Invalid(errors={"kind": [f"One of {', '.join(Kind.values)}."]})
            rows = rows.filter(kind=asked["kind"])
        if asked.get("usable", "false") == "true":
            rows = rows.visible_to(request.user, "use")
        return cast("QuerySet[Any]", rows)


def _team(slug: str | None, by: Any) -> Team | None:
    if slug is None:
        return None
    team = Team.objects.visible_to(by, "view").filter(slug=slug).first()
    if team is None:
        raise Invalid(errors={"team": ["There is no such team, or you are not in it."]})
    found: Team = team
    return found
