"""People: everybody finds himself and his teams' people by name; admins make, change, disable and off-board them."""

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

from apps.access import policy
from apps.access.api import GuardedViewSet
from apps.accounts import services
from apps.accounts.api.serializers import (
    DepartureSerializer,
    NewUserSerializer,
    OffboardingSerializer,
    ReasonSerializer,
    RegistrationSerializer,
    UserChangeSerializer,
    UserSerializer,
)
from apps.accounts.handlers import Effect
from apps.accounts.models import Registration, User
from apps.core.errors import Invalid

DRY_RUN = OpenApiParameter("dry_run", OpenApiTypes.BOOL, description="Only say what would happen.")
_SEARCH = OpenApiParameter("q", OpenApiTypes.STR, description="The user name begins with this.")
_WAITING = OpenApiParameter("waiting", OpenApiTypes.BOOL, description="Only those that nobody has decided on.")


def is_dry_run(request: Request) -> bool:
    """Read `?dry_run=`. Raises: Invalid for what is neither true nor false: a typo must not do the deed."""
    return _flag(request, "dry_run")


def _flag(request: Request, name: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False, "": False}
    try:
        return known[request.query_params.get(name, "").lower()]
    except KeyError:
        raise Invalid(errors={name: ["true or false."]}) from None


class UserViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    model = User
    queryset = User.objects.none()
    serializer_class = UserSerializer
    lookup_field = "username"
    lookup_value_regex = "[^/]+"
    policy_actions: ClassVar = {
        "list": "view", "retrieve": "view", "create": "manage", "partial_update": "manage", "disable": "manage",
        "enable": "manage", "offboard": "manage",
    }  # fmt: skip

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        begins = self.request.query_params.get("q", "").replace("\x00", "")
        rows = queryset.filter(username__istartswith=begins) if begins and self.action == "list" else queryset
        return rows.select_related("service_of")

    @extend_schema(operation_id="users_list", parameters=[_SEARCH])
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List myself and the people of my teams; everybody, for admins."""
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="users_create", request=NewUserSerializer, responses={201: UserSerializer})
    def create(self, request: Request) -> Response:
        """Make an account. Admins only."""
        policy.require_admin(cast("Any", request.user))  # before the input, whose errors would tell what is taken
        asked = NewUserSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        user = services.create_user(asked.validated_data.pop("username"), by=request.user, **asked.validated_data)
        return self._shown(user, status.HTTP_201_CREATED)

    @extend_schema(operation_id="users_partial_update", request=UserChangeSerializer, responses=UserSerializer)
    def partial_update(self, request: Request, username: str) -> Response:
        """Change a name, the e-mail, or the platform role, which needs a reason. Admins only."""
        del username
        user = self.get_object()
        asked = UserChangeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        changes = dict(asked.validated_data)
        reason, role = changes.pop("reason"), changes.pop("platform_role", None)
        if role is not None and role != user.platform_role:
            if not reason.strip():
                raise Invalid(errors={"reason": ["Say why."]})
            services.set_platform_role(user, role, by=request.user, reason=reason)
        services.update_user(user, by=request.user, reason=reason, **changes)
        return self._shown(user)

    @extend_schema(operation_id="users_disable", request=ReasonSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, username: str) -> Response:
        """Shut somebody out at once, by the standing policy. Admins only."""
        del username
        user, reason = self._asked(request)
        services.disable_user(user, by=request.user, reason=reason)
        return self._shown(user)

    @extend_schema(operation_id="users_enable", request=ReasonSerializer, responses=UserSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, username: str) -> Response:
        """Let somebody in again, without his former tokens. Admins only."""
        del username
        user, reason = self._asked(request)
        services.enable_user(user, by=request.user, reason=reason)
        return self._shown(user)

    @extend_schema(
        operation_id="users_offboard",
        request=DepartureSerializer,
        parameters=[DRY_RUN],
        responses=OffboardingSerializer,
    )
    @action(detail=True, methods=["post"])
    def offboard(self, request: Request, username: str) -> Response:
        """Shut somebody out and deal with what was his; with `dry_run`, say what that would do. Admins only."""
        del username
        user = self.get_object()
        asked = DepartureSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        told = {**asked.validated_data, "transfer_to": self._heir(asked.validated_data["transfer_to"])}
        dry_run = is_dry_run(request)
        effects = services.offboard_user(user, by=request.user, dry_run=dry_run, **told)
        return Response({"username": user.username, "dry_run": dry_run, "effects": [_shown(e) for e in effects]})

    def _heir(self, name: str) -> User | None:
        if not name:
            return None
        heir: User | None = User.objects.visible_to(self.request.user, "view").filter(username=name).first()
        if heir is None:
            raise Invalid(errors={"transfer_to": ["There is nobody of this name."]})
        return heir

    def _asked(self, request: Request) -> tuple[User, str]:
        user = self.get_object()
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return user, asked.validated_data["reason"]

    def _shown(self, user: User, code: int = status.HTTP_200_OK) -> Response:
        user.refresh_from_db()
        return Response(self.get_serializer(user).data, status=code)


class RegistrationViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Who asked for an account. Admins and auditors only."""

    model = Registration
    queryset = Registration.objects.none()
    serializer_class = RegistrationSerializer
    policy_actions: ClassVar = {"list": "view", "retrieve": "view", "approve": "decide", "reject": "decide"}

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wants_waiting = self.action == "list" and _flag(self.request, "waiting")
        return queryset.filter(decided_at=None) if wants_waiting else queryset

    @extend_schema(operation_id="registrations_list", parameters=[_WAITING])
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @extend_schema(operation_id="registrations_approve", request=ReasonSerializer, responses=RegistrationSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Make the account that was asked for."""
        del pk
        return self._decide(request, services.approve_registration)

    @extend_schema(operation_id="registrations_reject", request=ReasonSerializer, responses=RegistrationSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Say no."""
        del pk
        return self._decide(request, services.reject_registration)

    def _decide(self, request: Request, decision: Any) -> Response:
        found = self.get_object()
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        decision(found, by=request.user, reason=asked.validated_data["reason"])
        return Response(self.get_serializer(found).data)


def _shown(effect: Effect) -> dict[str, Any]:
    return {
        "what": effect.what, "count": effect.count, "examples": list(effect.examples), "is_warning": effect.is_warning,
    }  # fmt: skip
