from collections.abc import Iterator
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.accounts import acting
from apps.compute import logs as store
from apps.compute.api.serializers import AttemptSerializer, EventSerializer
from apps.compute.choices import State
from apps.compute.models import Attempt, WorkloadEvent
from apps.core.errors import Invalid, NotFound
from apps.experiments import logs, services, spec, usage
from apps.experiments.api import queue, serializers
from apps.experiments.filters import ExperimentFilter
from apps.experiments.models import CodeUpload, Experiment

_ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH, description="The experiment's id.")
_FILTERS = [
    OpenApiParameter("state", OpenApiTypes.STR, many=True, enum=State.values),
    OpenApiParameter("kind", OpenApiTypes.STR),
    OpenApiParameter("project", OpenApiTypes.STR, description="Id or name."),
    OpenApiParameter("team", OpenApiTypes.STR),
    OpenApiParameter("owner", OpenApiTypes.STR),
    OpenApiParameter("q", OpenApiTypes.STR, description="Part of the name."),
    OpenApiParameter("tag", OpenApiTypes.STR, many=True, description="key=value"),
    OpenApiParameter("created_after", OpenApiTypes.DATETIME),
    OpenApiParameter("created_before", OpenApiTypes.DATETIME),
    OpenApiParameter("shared", OpenApiTypes.BOOL, description="Only what was shared with me."),
]
_NUMBER = {"type": "integer", "minimum": -(1 << 53), "maximum": 1 << 53}
_LOG = [
    OpenApiParameter("offset", _NUMBER, description="First byte; negative counts from the end."),
    OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": logs.LARGEST_PIECE}),
    OpenApiParameter("attempt", _NUMBER, description="Default: the newest."),
]

_SUBMITTED = serializers.SubmittedSerializer()  # one for all: making its fields anew costs as much as filling them


def _integer(request: Request, name: str, default: int | None) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return default
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 16):  # noqa: PLR2004 -- 2**53 has 16 digits
        raise Invalid(errors={name: ["Expected a whole number."]})
    return int(text)


class ExperimentViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    model = Experiment
    queryset = Experiment.objects.none()
    serializer_class = serializers.ExperimentSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "history": "view",
        "create": "create",
        "destroy": "delete",
        "stop": "stop",
        "retry": "retry",
        "clone": "clone",
        "events": "view",
        "attempts": "view",
        "why": "view",
        "logs": "logs",
        "download": "logs",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details().prefetch_related("run__tags")
        return shaped

    @extend_schema(operation_id="experiments_list", parameters=_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List what I may see, newest first."""
        rows: Any = ExperimentFilter.read(request.query_params).apply(self.get_queryset())
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="experiments_retrieve", parameters=[_ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="experiments_create",
        request=OpenApiTypes.OBJECT,
        responses={201: serializers.ExperimentSerializer},
    )
    def create(self, request: Request) -> Response:
        """Submit a specification."""
        return _submitted(services.submit_experiment(request.data, by=request.user))

    @extend_schema(operation_id="experiments_destroy", parameters=[_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take an ended experiment out of sight; its records stay."""
        services.delete_experiment(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="experiments_stop",
        parameters=[_ID],
        request=serializers.StopSerializer,
        responses={200: serializers.ExperimentSerializer, 202: serializers.ExperimentSerializer},
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Ask for it to stop; 202 when that is news, 200 when it was asked before."""
        asked = serializers.StopSerializer(data=request.data or {})
        asked.is_valid(raise_exception=True)
        experiment = self.get_object()
        news = services.stop_experiment(experiment, by=request.user, reason=asked.validated_data["reason"])
        return self._shown(experiment, status.HTTP_202_ACCEPTED if news else status.HTTP_200_OK)

    @extend_schema(
        operation_id="experiments_retry",
        parameters=[_ID],
        request=None,
        responses=serializers.ExperimentSerializer,
    )
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Run it once more, as a new attempt."""
        return self._shown(services.retry_experiment(self.get_object(), by=request.user), status.HTTP_200_OK)

    @extend_schema(
        operation_id="experiments_clone",
        parameters=[_ID],
        request=serializers.CloneSerializer,
        responses={201: serializers.ExperimentSerializer},
    )
    @action(detail=True, methods=["post"])
    def clone(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Submit a copy as my own, with some fields replaced."""
        asked = serializers.CloneSerializer(data=request.data or {})
        asked.is_valid(raise_exception=True)
        copy = services.clone_experiment(
            self.get_object(), by=request.user, overrides=asked.validated_data["overrides"]
        )
        return _submitted(copy)

    @extend_schema(
        operation_id="experiments_events", parameters=[_ID], responses=EventSerializer(many=True), filters=False
    )
    @action(detail=True, pagination_class=None)
    def events(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Return every state change, oldest first."""
        rows = WorkloadEvent.objects.filter(workload_id=self.get_object().workload_id).order_by("seq")[:1000]
        return Response(EventSerializer(rows, many=True).data)

    @extend_schema(
        operation_id="experiments_attempts", parameters=[_ID], responses=AttemptSerializer(many=True), filters=False
    )
    @action(detail=True, pagination_class=None)
    def attempts(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Return every attempt, oldest first."""
        rows = (
            Attempt.objects.filter(workload_id=self.get_object().workload_id).select_related("cluster").order_by("no")
        )
        return Response(AttemptSerializer(rows[:1000], many=True).data)

    @extend_schema(operation_id="experiments_why", parameters=[_ID], responses=queue.WaitSerializer)
    @action(detail=True)
    def why(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Say why it waits: what is in its way, who can change that, what would fit, its place, and when it may start."""
        return Response(queue.explanation(self.get_object(), by=request.user))

    @extend_schema(operation_id="experiments_logs", parameters=[_ID, *_LOG], responses=serializers.LogSerializer)
    @action(detail=True)
    def logs(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Return a piece of the log. Ask again from `next_offset` until `eof`."""
        attempt = logs.attempt_of(self.get_object(), _integer(request, "attempt", None))
        offset = _integer(request, "offset", 0) or 0
        limit = _integer(request, "limit", logs.DEFAULT_PIECE)
        return Response(serializers.LogSerializer(logs.read_text(attempt, offset=offset, limit=limit or 0)).data)

    @extend_schema(
        operation_id="experiments_logs_download",
        parameters=[_ID, _LOG[2]],
        responses={(200, "text/plain"): OpenApiTypes.BINARY},
    )
    @action(detail=True, url_path="logs/download")
    def download(self, request: Request, id: str) -> StreamingHttpResponse:  # noqa: A002 -- the name in the URL
        """Download the whole log as it is stored."""
        experiment = self.get_object()
        attempt = logs.attempt_of(experiment, _integer(request, "attempt", None))
        name = f"{experiment.pk}-{attempt.no if attempt else 0}.log"
        return StreamingHttpResponse(
            acting.while_reading(_pieces(attempt), request.user, lambda reader: policy.can(reader, "logs", experiment)),
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
        )

    def _shown(self, experiment: Experiment, code: int) -> Response:
        fresh = Experiment.objects.with_details().prefetch_related("run__tags").get(pk=experiment.pk)
        return Response(self.get_serializer(fresh).data, status=code)


def _submitted(experiment: Experiment) -> Response:
    """Show what was just written, as it was written: nothing of it needs to be read again."""
    return Response(_SUBMITTED.to_representation(experiment), status=status.HTTP_201_CREATED)


def _pieces(attempt: Attempt | None) -> Iterator[bytes]:
    offset = 0
    while attempt is not None:
        piece = store.read(attempt, offset=offset, limit=logs.DEFAULT_PIECE)
        if not piece.data:
            return
        yield piece.data
        offset += len(piece.data)


class UploadView(GuardedAPI):
    """The raw upload: a stream, never held in memory."""

    policy_actions: ClassVar = {"update": "code:create", "retrieve": "code:view"}
    parser_classes: Any = ()
    chunk_bytes = 1 << 20

    @extend_schema(
        operation_id="code_retrieve",
        parameters=[OpenApiParameter("ref", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses=serializers.CodeSerializer,
    )
    def retrieve(self, request: Request, ref: str) -> Response:
        """Say whether I have uploaded this archive."""
        rows = CodeUpload.objects.visible_to(request.user, "view")
        found = rows.filter(sha256=ref.removeprefix("sha256:")).first()
        if found is None:
            raise NotFound
        return Response(serializers.CodeSerializer(found).data)

    @extend_schema(
        operation_id="code_upload",
        parameters=[OpenApiParameter("ref", OpenApiTypes.STR, OpenApiParameter.PATH, description="sha256:<hex>")],
        request=dict.fromkeys(services.CODE_FORMATS, OpenApiTypes.BINARY),
        responses={200: serializers.CodeSerializer, 201: serializers.CodeSerializer},
    )
    def update(self, request: Request, ref: str) -> Response:
        """Upload an archive of code (tar.gz or zip), or a patch, under its hash."""
        stream = request._request  # noqa: SLF001 -- the unparsed body
        chunks = iter(lambda: stream.read(self.chunk_bytes), b"")
        content_type = (stream.content_type or "").lower()
        upload, is_new = services.upload_code(
            chunks, by=request.user, sha256=ref.removeprefix("sha256:"), content_type=content_type
        )
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(serializers.CodeSerializer(upload).data, status=code)


class SpecSchemaView(GuardedAPI):
    public_reason = "the form of a specification is documentation"
    authentication_classes: Any = ()

    @extend_schema(operation_id="spec_schema", responses=OpenApiTypes.OBJECT, auth=[])
    def retrieve(self, request: Request) -> Response:
        """Return the JSON Schema of a specification."""
        return Response(spec.schema())


class UsageView(GuardedAPI):
    policy_actions: ClassVar = {"retrieve": ""}

    @extend_schema(operation_id="usage_retrieve", responses=serializers.UsageSerializer)
    def retrieve(self, request: Request) -> Response:
        """Return what I and my teams use, the limits, and my place in the queue."""
        found = {"nodes": usage.nodes_of(request.user), "queue": usage.waiting_of(request.user)}
        return Response(serializers.UsageSerializer(found).data)
