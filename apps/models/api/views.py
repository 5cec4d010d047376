from datetime import datetime
from typing import Any, ClassVar, cast

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.core.api import CursorPage, asked_for
from apps.core.errors import Invalid, NotFound
from apps.models import comparing, services
from apps.models.api import documents, serializers
from apps.models.api.finding import the_model, the_version
from apps.models.choices import RequestState
from apps.models.filters import ModelFilter
from apps.models.models import MoveRequest, RegisteredModel
from apps.teams.services import find_team


class ModelViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Registered models."""

    model = RegisteredModel
    queryset = RegisteredModel.objects.none()
    serializer_class = serializers.ModelSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "history": "view",
        "create": "create",
        "partial_update": "edit",
        "destroy": "delete",
        "moves": "view",
        "pointed": "view",
        "compare": "view",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @extend_schema(operation_id="models_list", parameters=documents.MODEL_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the models I may see, newest first."""
        rows: Any = ModelFilter.read(request.query_params).apply(cast("Any", self.get_queryset()))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="models_retrieve", parameters=[documents.ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="models_create",
        request=serializers.NewModelSerializer,
        responses={201: serializers.ModelSerializer},
        examples=[documents.NEW_MODEL],
    )
    def create(self, request: Request) -> Response:
        """Make a name to register versions under, my own or a team's."""
        asked = asked_for(serializers.NewModelSerializer, request)
        team = find_team(asked.pop("team"), by=request.user)
        model = services.create_model(asked.pop("name"), by=request.user, team=team, **asked)
        return self._shown(model, status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="models_update",
        parameters=[documents.ID],
        request=serializers.ModelChangesSerializer,
        responses=serializers.ModelSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change name, card, visibility or tags."""
        model = self.get_object()
        asked = asked_for(serializers.ModelChangesSerializer, request)
        tags = asked.pop("tags", {})
        if asked:
            services.update_model(model, by=request.user, **asked)
        if kept := {key: value for key, value in tags.items() if value is not None}:
            services.tag_model(model, kept, by=request.user)
        for key in [key for key, value in tags.items() if value is None]:
            services.untag_model(model, key, by=request.user)
        return self._shown(model, status.HTTP_200_OK)

    @extend_schema(operation_id="models_destroy", parameters=[documents.ID, documents.REASON], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take a model and its versions out of sight; nothing is erased."""
        services.archive_model(self.get_object(), by=request.user, reason=request.query_params.get("reason", ""))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="models_moves", parameters=[documents.ID], responses=serializers.MoveSerializer(many=True)
    )
    @action(detail=True, pagination_class=CursorPage, filter_backends=[])
    def moves(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Tell every move of aliases and stages, newest first. None is ever changed."""
        rows = self.get_object().moves.select_related("version", "by")
        page = cast("Any", self.paginator).paginate_queryset(rows, request, self)
        return self.get_paginated_response(serializers.MoveSerializer(page, many=True).data)

    @extend_schema(
        operation_id="models_pointed",
        parameters=[documents.ID, *documents.POINTED],
        responses=serializers.MoveSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def pointed(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Tell what an alias pointed to at a moment: the move that put it there. 404 when it pointed nowhere."""
        model = self.get_object()
        alias = request.query_params.get("alias", "").replace("\x00", "")
        move = services.pointed_to(model, alias, _moment(request))
        if move is None:
            msg = "It pointed to nothing then."
            raise NotFound(msg)
        return Response(serializers.MoveSerializer(move).data)

    @extend_schema(
        operation_id="models_compare",
        parameters=[documents.ID, *documents.COMPARED],
        responses=serializers.ComparisonSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def compare(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Put versions side by side: metrics, parameters, signature, files."""
        model = self.get_object()
        named = list(dict.fromkeys(request.query_params.getlist("version")))[: comparing.MOST + 1]
        found = comparing.compare([the_version(model, reference) for reference in named])
        told = {
            "versions": [version.number for version in found.versions],
            **{name: getattr(found, name) for name in ("metrics", "params", "signature", "facts", "files")},
        }
        return Response(serializers.ComparisonSerializer(told).data)

    def _shown(self, model: RegisteredModel, code: int) -> Response:
        shown = self.shape(RegisteredModel.objects.visible_to(cast("Any", self.request.user), "view")).get(pk=model.pk)
        return Response(self.get_serializer(shown).data, status=code)


class AliasAPI(GuardedAPI):
    """One alias of a model."""

    policy_actions: ClassVar = {"update": "model:move", "destroy": "model:move"}

    @extend_schema(
        operation_id="models_set_alias",
        parameters=[documents.ID, documents.ALIAS],
        request=serializers.SetAliasSerializer,
        responses=serializers.AliasSerializer,
        examples=[documents.SET_ALIAS],
    )
    def update(self, request: Request, id: str, alias: str) -> Response:  # noqa: A002 -- the name in the URL
        """Let an alias point to a version. A protected one answers 403 and says what is missing."""
        model = the_model(request, id, "move")
        asked = asked_for(serializers.SetAliasSerializer, request)
        version = the_version(model, asked["version"])
        moved = services.set_alias(model, alias, version, by=request.user, reason=asked["reason"])
        return Response(serializers.AliasSerializer(moved).data)

    @extend_schema(
        operation_id="models_drop_alias",
        parameters=[documents.ID, documents.ALIAS, documents.REASON],
        responses={204: None},
    )
    def destroy(self, request: Request, id: str, alias: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take an alias away."""
        model = the_model(request, id, "move")
        services.drop_alias(model, alias, by=request.user, reason=request.query_params.get("reason", ""))
        return Response(status=status.HTTP_204_NO_CONTENT)


class ProtectionsAPI(GuardedAPI):
    """The rules of a model."""

    policy_actions: ClassVar = {"list": "model:view", "create": "model:protect", "destroy": "model:protect"}

    @extend_schema(
        operation_id="models_protections_list",
        parameters=[documents.ID],
        responses=serializers.ProtectionSerializer(many=True),
    )
    def list(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """List what is protected, and by what."""
        rules = the_model(request, id).protections.order_by("target", "name")[:200]
        return Response(serializers.ProtectionSerializer(rules, many=True).data)

    @extend_schema(
        operation_id="models_protect",
        parameters=[documents.ID],
        request=serializers.NewProtectionSerializer,
        responses=serializers.ProtectionSerializer,
        examples=[documents.NEW_RULE],
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Protect an alias or a stage; a rule that is there already is replaced."""
        model = the_model(request, id, "protect")
        asked = asked_for(serializers.NewProtectionSerializer, request)
        rule = services.protect(model, asked.pop("target"), asked.pop("name"), by=request.user, **asked)
        rule.refresh_from_db()
        return Response(serializers.ProtectionSerializer(rule).data)

    @extend_schema(
        operation_id="models_unprotect",
        parameters=[documents.ID, documents.RULE_ID, documents.REASON],
        responses={204: None},
    )
    def destroy(self, request: Request, id: str, rule: str) -> Response:  # noqa: A002 -- the name in the URL
        """Lift a rule."""
        model = the_model(request, id, "protect")
        found = next((one for one in model.protections.all() if str(one.pk) == rule), None)
        if found is None:
            raise NotFound
        services.unprotect(found, by=request.user, reason=request.query_params.get("reason", ""))
        return Response(status=status.HTTP_204_NO_CONTENT)


class AskAPI(GuardedAPI):
    """Asking for the move of something protected."""

    policy_actions: ClassVar = {"create": "model:move"}

    @extend_schema(
        operation_id="models_request_move",
        parameters=[documents.ID],
        request=serializers.NewMoveRequestSerializer,
        responses={201: serializers.MoveRequestSerializer},
        examples=[documents.NEW_REQUEST],
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Ask others to approve a move. With the approval that completes the rule it is carried out."""
        model = the_model(request, id, "move")
        asked = asked_for(serializers.NewMoveRequestSerializer, request)
        version = the_version(model, asked["version"])
        made = services.request_move(
            model, asked["target"], asked["name"], version,
            by=request.user, reason=asked["reason"], removes=asked["removes"],
        )  # fmt: skip
        return Response(_told(made, request.user), status=status.HTTP_201_CREATED)


class MoveRequestViewSet(RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    """Requests to move something protected."""

    model = MoveRequest
    queryset = MoveRequest.objects.none()
    serializer_class = serializers.MoveRequestSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "approve": "approve",
        "refuse": "approve",
        "withdraw": "withdraw",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.filter(model__archived_at=None).with_people()
        return shaped

    @extend_schema(operation_id="model_requests_list", parameters=documents.REQUEST_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the requests of models I may see, newest first."""
        rows: Any = self.get_queryset()
        state, model = request.query_params.get("state", ""), request.query_params.get("model", "")
        if state and state not in RequestState.values:
            raise Invalid(errors={"state": [f"One of {', '.join(RequestState.values)}."]})
        rows = rows.filter(state=state) if state else rows
        if model:
            rows = rows.filter(model=the_model(request, model))
        return self.get_paginated_response(self.get_serializer(self.paginate_queryset(rows), many=True).data)

    @extend_schema(operation_id="model_requests_retrieve", parameters=[documents.REQUEST_ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="model_requests_approve",
        parameters=[documents.REQUEST_ID],
        request=serializers.MoveReasonSerializer,
        responses=serializers.MoveRequestSerializer,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Approve it; the approval that completes the rule carries it out."""
        return self._decide(request, approve=True)

    @extend_schema(
        operation_id="model_requests_refuse",
        parameters=[documents.REQUEST_ID],
        request=serializers.MoveReasonSerializer,
        responses=serializers.MoveRequestSerializer,
    )
    @action(detail=True, methods=["post"])
    def refuse(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Refuse it, and say why."""
        return self._decide(request, approve=False)

    @extend_schema(
        operation_id="model_requests_withdraw",
        parameters=[documents.REQUEST_ID],
        request=None,
        responses=serializers.MoveRequestSerializer,
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take back what I asked for."""
        asked = self.get_object()
        services.withdraw_request(asked, by=request.user)
        return Response(_told(asked, request.user))

    def _decide(self, request: Request, *, approve: bool) -> Response:
        wanted = self.get_object()
        reason = asked_for(serializers.MoveReasonSerializer, request)["reason"]
        return Response(
            _told(services.decide_move(wanted, by=request.user, approve=approve, reason=reason), request.user)
        )


def _told(asked: MoveRequest, by: Any) -> Any:
    fresh = MoveRequest.objects.visible_to(by, "view").with_people().get(pk=asked.pk)
    return serializers.MoveRequestSerializer(fresh).data


def _moment(request: Request) -> datetime:
    text = request.query_params.get("at", "")
    if not text:
        return timezone.now()
    try:
        found = parse_datetime(text.replace(" ", "+", 1) if "T" in text else text)
    except ValueError:
        found = None
    if found is None or timezone.is_naive(found):
        raise Invalid(errors={"at": ["A time with its zone: 2027-01-31T00:00:00Z."]})
    return found
