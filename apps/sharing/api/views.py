from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.accounts.models import User
from apps.core.errors import Invalid
from apps.sharing import asking, kinds, services
from apps.sharing.api import serializers
from apps.sharing.choices import RequestState
from apps.sharing.models import AccessRequest
from apps.teams.models import Team

ASKED = "If there is such an object, those who manage it were asked."
_KIND = OpenApiParameter("kind", str, OpenApiParameter.PATH, description='"run", "experiment", "project", …')
_NAMED = OpenApiParameter("subject_kind", str, OpenApiParameter.PATH, enum=["user", "team", "organization"])
_OFFSET = OpenApiParameter("offset", int, description="Lines to leave out.")
_WHY = [
    OpenApiParameter(
        "user", str, description="About whom; by default oneself. About others: managers, admins, auditors."
    ),
    OpenApiParameter("action", str, description='What he would do; by default "view".'),
]


class AccessView(GuardedAPI):
    """Who has access to an object, and who sees it beside those it is shared with."""

    policy_actions: ClassVar = {"retrieve": "", "partial_update": ""}

    @extend_schema(operation_id="access_retrieve", parameters=[_KIND, _OFFSET], responses=serializers.AccessSerializer)
    def retrieve(self, request: Request, kind: str, id: str) -> Response:  # noqa: A002 -- the name in the address
        """List who has access, as what and through what."""
        found = kinds.find(kind, id, by=request.user)
        return Response(_access(found, kind, request))

    @extend_schema(
        operation_id="access_update",
        parameters=[_KIND],
        request=serializers.AccessChangesSerializer,
        responses={204: None},
    )
    def partial_update(self, request: Request, kind: str, id: str) -> Response:  # noqa: A002 -- the name in the address
        """Set the visibility, and with `team` whose it is."""
        found = kinds.find(kind, id, by=request.user)
        asked = _read(serializers.AccessChangesSerializer, request)
        policy.require(_user(request), kinds.SHARE, found)
        team = None
        if asked["team"]:
            team = Team.objects.visible_to(_user(request), "view").filter(slug=asked["team"]).first()
            if team is None:
                raise Invalid(errors={"team": ["There is no such team, or you are not in it."]})
        services.set_visibility(found, asked["visibility"], by=request.user, team=team)
        return Response(status=status.HTTP_204_NO_CONTENT)  # one may have taken one's own access away


class WhyView(GuardedAPI):
    """Why one can, or cannot."""

    policy_actions: ClassVar = {"retrieve": ""}

    @extend_schema(operation_id="access_why", parameters=[_KIND, *_WHY], responses=serializers.WhySerializer)
    def retrieve(self, request: Request, kind: str, id: str) -> Response:  # noqa: A002 -- the name in the address
        """Say through what somebody may do an action, or what is missing for it."""
        found = kinds.find(kind, id, by=request.user)
        query = request.query_params
        answer = asking.why(found, query.get("user", ""), query.get("action", ""), by=_user(request))
        return Response(serializers.WhySerializer(cast("Any", answer)).data)


class ShareView(GuardedAPI):
    """One share: of an object with a person, a team or an organization. Both methods are idempotent by themselves."""

    policy_actions: ClassVar = {"update": "", "destroy": ""}

    @override
    def _wants_record(self, request: Any) -> bool:
        return False  # SECURITY: a record's transaction would take back the count of unknown names

    @extend_schema(
        operation_id="access_share",
        parameters=[_KIND, _NAMED],
        request=serializers.NewShareSerializer,
        responses=serializers.AccessSerializer,
    )
    def update(self, request: Request, kind: str, id: str, subject_kind: str, name: str) -> Response:  # noqa: A002 -- the name in the address
        """Share it, or change a share."""
        found = kinds.find(kind, id, by=request.user)
        policy.require(_user(request), kinds.SHARE, found)
        asked = _read(serializers.NewShareSerializer, request)
        subject = services.find_subject(subject_kind, name, by=request.user)
        services.share(found, subject.holder, asked.pop("role"), by=request.user, **asked)
        return Response(_access(found, kind, request))

    @extend_schema(operation_id="access_unshare", parameters=[_KIND, _NAMED], responses={204: None})
    def destroy(self, request: Request, kind: str, id: str, subject_kind: str, name: str) -> Response:  # noqa: A002 -- as above
        """End a share; it stops giving anything at once."""
        found = kinds.find(kind, id, by=request.user)
        policy.require(_user(request), kinds.SHARE, found)
        subject = services.known_subject(subject_kind, name)
        if subject is not None:
            services.unshare(found, subject.holder, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class OwnerView(GuardedAPI):
    """Whose it is."""

    policy_actions: ClassVar = {"create": ""}

    @override
    def _wants_record(self, request: Any) -> bool:
        return False  # SECURITY: as for shares; a repeat finds it done

    @extend_schema(
        operation_id="access_transfer",
        parameters=[_KIND],
        request=serializers.TransferSerializer,
        responses={204: None},
    )
    def create(self, request: Request, kind: str, id: str) -> Response:  # noqa: A002 -- the name in the address
        """Give it to another person."""
        found = kinds.find(kind, id, by=request.user)
        policy.require(_user(request), kinds.SHARE, found)
        asked = _read(serializers.TransferSerializer, request)
        to = services.find_subject("user", asked["to"], by=request.user).holder
        services.transfer_owner(found, to, by=request.user, reason=asked["reason"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class AskView(GuardedAPI):
    """Asking for access to what one may not see, or not enough."""

    policy_actions: ClassVar = {"create": "accessrequest:withdraw"}

    @extend_schema(
        operation_id="access_request",
        parameters=[_KIND],
        request=serializers.NewRequestSerializer,
        responses={202: serializers.AskedSerializer},
    )
    def create(self, request: Request, kind: str, id: Any) -> Response:  # noqa: A002 -- the name in the address
        """Ask for a role. The answer does not tell whether there is such an object."""
        asked = _read(serializers.NewRequestSerializer, request)
        services.request_access(kind, id, by=request.user, **asked)
        return Response({"detail": ASKED}, status=status.HTTP_202_ACCEPTED)


class AccessRequestViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Requests for access: those I made, and those that I can decide."""

    model = AccessRequest
    queryset = AccessRequest.objects.none()
    serializer_class = serializers.AccessRequestSerializer
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "grant": "decide",
        "refuse": "decide",
        "withdraw": "withdraw",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.with_people()
        return shaped

    @extend_schema(
        operation_id="access_requests_list",
        parameters=[
            OpenApiParameter("mine", bool, description="Those I made, instead of those I can decide."),
            OpenApiParameter("state", str, enum=RequestState.values),
        ],
    )
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the requests that I can decide, or with `mine` those I made, newest first."""
        rows: Any = self.get_queryset()
        mine = request.query_params.get("mine", "").lower() in {"1", "true", "yes"}
        rows = rows.made_by(request.user) if mine else rows.to_decide(request.user)
        state = request.query_params.get("state", "")
        if state:
            if state not in RequestState.values:
                raise Invalid(errors={"state": [f"One of {', '.join(RequestState.values)}."]})
            rows = rows.filter(state=state)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="access_requests_grant", request=serializers.DecisionSerializer)
    @action(detail=True, methods=["post"])
    def grant(self, request: Request, pk: str) -> Response:
        """Grant it: the object is shared, as asked or as `role` says."""
        asked = _read(serializers.DecisionSerializer, request)
        done = services.decide_request(self.get_object(), by=request.user, grant=True, **asked)
        return Response(self.get_serializer(done).data)

    @extend_schema(operation_id="access_requests_refuse", request=serializers.RefusalSerializer)
    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, pk: str) -> Response:
        """Refuse it."""
        asked = _read(serializers.RefusalSerializer, request)
        done = services.decide_request(self.get_object(), by=request.user, grant=False, **asked)
        return Response(self.get_serializer(done).data)

    @extend_schema(operation_id="access_requests_withdraw", request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take my request back."""
        services.withdraw_request(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def _user(request: Request) -> Any:
    return cast("User", request.user)


def _read(form: Any, request: Request) -> dict[str, Any]:
    asked = form(data=request.data)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)


def _access(found: Any, kind: str, request: Request) -> Any:
    row = policy.owned(found)
    text = request.query_params.get("offset", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 6):  # noqa: PLR2004 -- digits
        raise Invalid(errors={"offset": ["Expected a whole number."]})
    held = services.who_has_access(found, by=request.user, offset=int(text))
    facts = {
        "kind": kind,
        "id": found.pk,
        "owner": row.owner.username,
        "team": row.team.slug if row.team else None,
        "visibility": row.visibility,
        "role": policy.role_of(_user(request), found).word,
        "results": held.lines,
        "more": held.more,
    }
    return serializers.AccessSerializer(facts).data
