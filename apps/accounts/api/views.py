from typing import Any, ClassVar, cast

from django.contrib.auth import update_session_auth_hash
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.accounts import services
from apps.accounts.api.serializers import (
    ElevationSerializer,
    IssuedTokenSerializer,
    LoginSerializer,
    MeSerializer,
    NewTokenSerializer,
    PasswordSerializer,
    RotationSerializer,
    SessionSerializer,
    TokenChangeSerializer,
    TokenSerializer,
)
from apps.accounts.choices import PlatformRole
from apps.accounts.models import ApiToken, User, UserSession
from apps.accounts.proof import Proof, logged_in_at


class MeView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": ""}

    @extend_schema(operation_id="me_retrieve", responses=MeSerializer)
    def retrieve(self, request: Request) -> Response:
        """Say who I am, my teams, and the token in use."""
        user = cast("User", request.user)
        rows = user.memberships.select_related("team").order_by("team__slug")
        teams = [{"slug": row.team.slug, "name": row.team.name, "role": row.role} for row in rows]
        me = {
            "username": user.username,
            "email": user.email,
            "is_admin": user.platform_role == PlatformRole.ADMIN,
            "teams": teams,
        }
        return Response(MeSerializer({**me, "token": user.token}).data)


class JudgesPasswords(GuardedAPI):
    """Base of what asks for a password. SECURITY: a transaction around it would take back the count of wrong ones."""

    @override
    def _wants_record(self, request: Any) -> bool:
        return False


class LoginView(JudgesPasswords):
    public_reason = "the door through which one comes in"
    authentication_classes: Any = ()

    @extend_schema(operation_id="auth_login", request=LoginSerializer, responses={201: IssuedTokenSerializer}, auth=[])
    def create(self, request: Request) -> Response:
        """Exchange name and password for a personal token."""
        asked = LoginSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        user = services.log_in(data["username"], data["password"])
        return _issue(user, user, asked)


class ElevationView(JudgesPasswords):
    policy_actions: ClassVar = {"create": "apitoken:create"}

    @extend_schema(operation_id="auth_elevate", request=ElevationSerializer, responses={201: IssuedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Exchange my password, and a code if I have a second factor, for a short-lived token that acts as an admin."""
        user = cast("User", request.user)
        policy.require_active(user, "apitoken:create")
        asked = ElevationSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        here = request._request.session  # noqa: SLF001 -- the session is Django's
        proof = Proof(data["password"], data["code"], logged_in_at(here) if user.session is not None else None)
        token, value = services.issue_admin_token(user, proof=proof, reason=data["reason"], minutes=data.get("minutes"))
        return issued(token, value)


class PasswordView(JudgesPasswords):
    policy_actions: ClassVar = {"create": "user:edit"}

    @extend_schema(operation_id="auth_password", request=PasswordSerializer, responses={204: None})
    def create(self, request: Request) -> Response:
        """Change my password; every other session of mine ends."""
        user = cast("User", request.user)
        policy.require_active(user, "user:edit")
        asked = PasswordSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        services.change_password(
            user,
            by=user,
            current=data["current_password"],
            new=data["new_password"],
            end_tokens=data["end_tokens"],
        )
        if user.session is not None:
            update_session_auth_hash(request._request, user)  # noqa: SLF001 -- the session is Django's
        return Response(status=status.HTTP_204_NO_CONTENT)


class SessionViewSet(ListModelMixin, GuardedViewSet):
    model = UserSession
    queryset = UserSession.objects.none()
    serializer_class = SessionSerializer
    policy_actions: ClassVar = {"list": "view", "destroy": "end"}

    @override
    def shape(self, queryset: QuerySet[UserSession]) -> QuerySet[UserSession]:
        shown: QuerySet[UserSession] = cast("Any", queryset).live().exclude(user=None).select_related("user")
        return shown

    @extend_schema(operation_id="sessions_destroy", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """End a session at once."""
        services.end_session(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class TokenViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    model = ApiToken
    queryset = ApiToken.objects.none()
    serializer_class = TokenSerializer
    shown_once = frozenset({"token"})
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "history": "view", "create": "create", "partial_update": "edit",
        "rotate": "rotate", "destroy": "revoke",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.select_related("user", "user__service_of")

    @extend_schema(operation_id="tokens_create", request=NewTokenSerializer, responses={201: IssuedTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token for myself; it is shown this once."""
        asked = NewTokenSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = cast("User", request.user)
        return _issue(user, user, asked)

    @extend_schema(operation_id="tokens_partial_update", request=TokenChangeSerializer, responses=TokenSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Say anew from which networks a token may be used; from elsewhere it is refused at once."""
        asked = TokenChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.set_token_addresses(self.get_object(), **asked.validated_data, by=request.user)
        return Response(TokenSerializer(self.get_object()).data)

    @extend_schema(operation_id="tokens_rotate", request=RotationSerializer, responses={201: IssuedTokenSerializer})
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Replace a token by a new one with the same rights; the old one works on for the overlap."""
        asked = RotationSerializer(data=request.data or {})
        asked.is_valid(raise_exception=True)
        return issued(*services.rotate_token(self.get_object(), by=request.user, overlap=asked.overlap()))

    @extend_schema(operation_id="tokens_destroy", responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Revoke a token at once."""
        services.revoke_token(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _issue(user: User, by: Any, asked: NewTokenSerializer) -> Response:
    return issued(*services.issue_token(user, by=by, **asked.facts()))


def issued(token: ApiToken, value: str) -> Response:
    """Answer with a new token: this once, with its value."""
    token.refresh_from_db()
    return Response({**TokenSerializer(token).data, "token": value}, status=status.HTTP_201_CREATED)
