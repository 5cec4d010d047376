"""Service accounts of a team, and invitations into teams."""

from typing import Any, ClassVar

from django.conf import settings
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedViewSet
from apps.accounts import services as accounts
from apps.accounts.api.serializers import IssuedTokenSerializer, NewTokenSerializer, TokenSerializer
from apps.accounts.models import User
from apps.core.errors import Invalid, NotFound
from apps.teams import services
from apps.teams.api import serializers
from apps.teams.api.views import data_of
from apps.teams.models import Invitation, Membership, Team

_NAME = OpenApiParameter("name", OpenApiTypes.STR, OpenApiParameter.PATH, description="Full, or without svc.<team>.")


class ServiceAccountViewSet(GuardedViewSet):
    """What the team's programs act as. Everybody in the team sees them; its maintainers keep them."""

    model = Team
    queryset = Team.objects.none()
    serializer_class = serializers.ServiceAccountSerializer
    lookup_field = "slug"
    pagination_class = None
    shown_once = frozenset({"token"})
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage", "create_token": "manage",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.select_related("organization")

    @extend_schema(operation_id="service_accounts_list", responses=serializers.ServiceAccountSerializer(many=True))
    def list(self, request: Request, slug: str) -> Response:
        """List the team's service accounts."""
        del slug
        rows = Membership.objects.visible_to(request.user, "view").filter(team=self.get_object())
        own = rows.filter(user__service_of=self.get_object()).select_related("user").order_by("user__username")
        return Response([_shown(row.user, row.role) for row in own])

    @extend_schema(
        operation_id="service_accounts_create",
        request=serializers.NewServiceAccountSerializer,
        responses={201: serializers.ServiceAccountSerializer},
    )
    def create(self, request: Request, slug: str) -> Response:
        """Make a service account."""
        del slug
        team = self.get_object()
        asked = data_of(serializers.NewServiceAccountSerializer, request)
        made = services.create_service_account(team, name=asked["name"], role=asked["role"], by=request.user)
        return Response(_shown(made, asked["role"]), status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="service_accounts_retrieve", parameters=[_NAME])
    def retrieve(self, request: Request, slug: str, name: str) -> Response:
        """Show one."""
        del slug
        return self._answer(services.find_service_account(self.get_object(), name, by=request.user))

    @extend_schema(
        operation_id="service_accounts_partial_update",
        request=serializers.ServiceAccountChangeSerializer,
        responses=serializers.ServiceAccountSerializer,
        parameters=[_NAME],
    )
    def partial_update(self, request: Request, slug: str, name: str) -> Response:
        """Give it another role, disable or enable it."""
        del slug
        account = services.find_service_account(self.get_object(), name, by=request.user)
        asked = data_of(serializers.ServiceAccountChangeSerializer, request)
        if "role" in asked:
            services.set_service_role(account, role=asked["role"], by=request.user)
        if "is_active" in asked:
            switch = services.enable_service_account if asked["is_active"] else services.disable_service_account
            switch(account, by=request.user, reason=asked["reason"])
        return self._answer(account)

    @extend_schema(
        operation_id="service_accounts_create_token",
        request=NewTokenSerializer,
        responses={201: IssuedTokenSerializer},
        parameters=[_NAME],
    )
    def create_token(self, request: Request, slug: str, name: str) -> Response:
        """Make a token for it; it is shown this once. Tokens are listed, rotated and revoked at /tokens/."""
        del slug
        account = services.find_service_account(self.get_object(), name, by=request.user)
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        token, value = accounts.issue_token(account, by=request.user, **asked.facts())
        token.refresh_from_db()
        return Response({**TokenSerializer(token).data, "token": value}, status=status.HTTP_201_CREATED)

    def _answer(self, account: User) -> Response:
        rows = Membership.objects.visible_to(self.request.user, "view").filter(user=account)
        role = rows.filter(team=account.service_of).values_list("role", flat=True).first()
        return Response(_shown(account, str(role or "")))


def _shown(account: User, role: str) -> dict[str, Any]:
    return {"username": account.username, "role": role, "is_active": account.is_active}


class InvitationViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Links into teams: those I made, and those into teams I maintain."""

    model = Invitation
    queryset = Invitation.objects.none()
    serializer_class = serializers.InvitationSerializer
    shown_once = frozenset({"url"})
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "create": "view", "destroy": "revoke"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.select_related("made_by", "for_user", "redeemed_by").prefetch_related("teams__team")

    @extend_schema(
        operation_id="invitations_create",
        request=serializers.NewInvitationSerializer,
        responses={201: serializers.IssuedInvitationSerializer},
    )
    def create(self, request: Request) -> Response:
        """Make a link; it is shown this once. Maintainers invite into their teams, admins into any."""
        asked = serializers.NewInvitationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        places = [(self._team(place["team"]["slug"]), place.get("role", "member")) for place in data["teams"]]
        made, path = services.invite(
            places,
            by=request.user,
            email=data["email"],
            expires_in=asked.lifetime(),
            for_user=self._person(data["for_user"]),
        )
        made.refresh_from_db()
        shown = self.get_serializer(made).data
        return Response({**shown, "url": settings.FATHOM_URL + path}, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="invitations_destroy", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke a link that nobody has used."""
        del pk
        services.revoke_invitation(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _team(self, slug: str) -> Team:
        rows = Team.objects.visible_to(self.request.user, "view").select_related("organization")
        team: Team | None = rows.filter(slug=slug).first()
        if team is None:
            raise NotFound
        return team

    def _person(self, name: str) -> User | None:
        if not name:
            return None
        person: User | None = User.objects.visible_to(self.request.user, "view").filter(username=name).first()
        if person is None:
            raise Invalid(errors={"for_user": ["There is nobody of this name."]})
        return person
