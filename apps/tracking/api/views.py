from typing import Any, ClassVar, cast
from uuid import UUID

import orjson
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access.api import GuardedAPI, GuardedViewSet
from apps.access.history import HistoryMixin
from apps.accounts.authentication import TokenAuthentication
from apps.core.api import StrictJSONParser
from apps.core.errors import DomainError, Invalid, NotFound, TooLarge
from apps.core.ids import new_id
from apps.teams.services import find_team
from apps.tracking import batches, curves, ingest, listing, services
from apps.tracking.api import documents, serializers
from apps.tracking.filters import ProjectFilter, RunFilter
from apps.tracking.listing import Entry
from apps.tracking.models import Project, Run
from apps.tracking.paths import clean_folder
from apps.tracking.summaries import wire

_CHUNK = 1 << 20
_SHA256_DIGITS = 64


class LengthRequired(DomainError):
    code = "length_required"
    status = 411
    title = "Length required"


def _integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004 -- larger than any limit
        raise Invalid(errors={name: ["Expected a whole number."]})
    return int(text)


def find_run(request: Request, run_id: str) -> Run:
    """Return a run that the caller may view. Raises: NotFound."""
    rows: Any = Run.objects.visible_to(cast("Any", request.user), "view")
    try:
        found = rows.live().filter(pk=UUID(run_id)).first()
    except ValueError:
        raise NotFound from None
    if found is None:
        raise NotFound
    return cast("Run", found)


class ProjectViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    model = Project
    queryset = Project.objects.none()
    serializer_class = serializers.ProjectSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "history": "view",
        "create": "create",
        "partial_update": "edit",
        "destroy": "delete",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @extend_schema(operation_id="projects_list", parameters=documents.PROJECT_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the projects I may see, newest first."""
        rows: Any = ProjectFilter.read(request.query_params).apply(cast("Any", self.get_queryset()))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="projects_retrieve", parameters=[documents.PROJECT_ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="projects_create",
        request=serializers.NewProjectSerializer,
        responses={201: serializers.ProjectSerializer},
    )
    def create(self, request: Request) -> Response:
        """Create a project, my own or a team's."""
        asked = serializers.NewProjectSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        team = find_team(data.pop("team"), by=request.user)
        project = services.create_project(data.pop("name"), by=request.user, team=team, **data)
        project.refresh_from_db()
        return Response(self.get_serializer(project).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="projects_update",
        parameters=[documents.PROJECT_ID],
        request=serializers.ProjectChangesSerializer,
        responses=serializers.ProjectSerializer,
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change a project's name, description or visibility."""
        project = self.get_object()
        asked = serializers.ProjectChangesSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.update_project(project, by=request.user, **asked.validated_data)
        return Response(self.get_serializer(project).data)

    @extend_schema(operation_id="projects_destroy", parameters=[documents.PROJECT_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take an empty project out of sight."""
        services.archive_project(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


class RunViewSet(HistoryMixin, RetrieveModelMixin, ListModelMixin, GuardedViewSet):
    model = Run
    queryset = Run.objects.none()
    serializer_class = serializers.RunSerializer
    lookup_url_kwarg = "id"
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "history": "view",
        "create": "create",
        "destroy": "delete",
        "finish": "log",
        "log_batch": "log",
        "metrics": "view",
        "curves": "view",
        "tensorboard": "view",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: Any = rows.live()
        if self.action in {"list", "retrieve", "create", "finish"}:
            shaped = shaped.with_details().with_records()
        return cast("QuerySet[Any]", shaped)

    @extend_schema(operation_id="runs_list", parameters=documents.RUN_FILTERS)
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the runs I may see, newest first; those of experiments are among them."""
        rows: Any = RunFilter.read(request.query_params).apply(cast("Any", self.get_queryset()))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="runs_retrieve", parameters=[documents.ID])
    @override
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @extend_schema(
        operation_id="runs_create", request=serializers.NewRunSerializer, responses={201: serializers.RunSerializer}
    )
    def create(self, request: Request) -> Response:
        """Begin a run that no job stands behind; a job begins one beside its own."""
        job = services.require_to_create(request.user)
        asked = serializers.NewRunSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = asked.validated_data
        team = find_team(data["team"], by=request.user)
        named = data.get("project", "")
        if job is not None and not named:
            project = job.project
        else:
            project = services.find_project(named or services.DEFAULT_PROJECT, by=request.user, team=team)
        name = data.get("name") or f"run-{new_id().hex[-8:]}"
        chosen = {"team": team, "visibility": data["visibility"], "tags": data.get("tags")}
        run = services.create_run(project, by=request.user, name=name, **chosen)
        return self._shown(run, status.HTTP_201_CREATED)

    @extend_schema(operation_id="runs_destroy", parameters=[documents.ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take a run out of sight; its records stay. A job's run is deleted with its experiment."""
        services.archive_run(self.get_object(), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="runs_finish",
        parameters=[documents.ID],
        request=serializers.FinishSerializer,
        responses=serializers.RunSerializer,
    )
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """End a run that no job stands behind. The first status stays."""
        run = self.get_object()
        asked = serializers.FinishSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        services.finish_run(run, asked.validated_data["status"], by=request.user)
        return self._shown(run, status.HTTP_200_OK)

    @extend_schema(
        operation_id="runs_log_batch",
        parameters=[documents.ID],
        request={"application/json": documents.BATCH},
        responses=serializers.BatchResultSerializer,
    )
    @action(
        detail=True,
        methods=["post"],
        url_path="log-batch",
        parser_classes=[],
        authentication_classes=[TokenAuthentication],
    )
    def log_batch(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Write metrics, params and tags. Served by the native handler of `hot`, which answers the same."""
        run = self.get_object()
        if _length(request) > batches.LARGEST_BODY:
            raise TooLarge(batches.TOO_LARGE)
        body = request._request.read(batches.LARGEST_BODY + 1)  # noqa: SLF001 -- the unparsed body
        batch = batches.read(body, content_type=request._request.headers.get("Content-Type", ""))  # noqa: SLF001 -- as above
        key = ingest.key_of(
            run.pk, batch, sender=request.user.pk, idempotency_key=request.headers.get("Idempotency-Key"), body=body
        )
        return Response(ingest.write(run.pk, batch, key).as_json())

    @extend_schema(
        operation_id="runs_metrics",
        parameters=[documents.ID, *documents.CURVE_FILTERS],
        responses=serializers.CurvesSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def metrics(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the name in the URL
        """Return curves, down-sampled so that no spike is lost."""
        run = self.get_object()
        found = services.read_curves(run, **_asked_curves(request))
        # Written here: the renderer of the framework takes longer for a thousand points than the database.
        text = orjson.dumps({"series": [_curve(curve) for curve in found]})
        return HttpResponse(text, content_type="application/json")

    @extend_schema(
        operation_id="runs_tensorboard",
        parameters=[documents.ID],
        responses=serializers.EventCurvesSerializer,
        filters=False,
    )
    @action(detail=True, pagination_class=None)
    def tensorboard(self, request: Request, id: str) -> HttpResponse:  # noqa: A002 -- the name in the URL
        """Return the scalars of the TensorBoard event files among the artifacts, down-sampled so that no spike is lost."""
        found = services.read_event_curves(self.get_object())
        problems = [{"path": path, "problem": problem} for path, problem in found.problems]
        series = [_curve(curve) for curve in found.curves]
        text = orjson.dumps({"series": series, "problems": problems, "left_out": found.left_out})
        return HttpResponse(text, content_type="application/json")

    @extend_schema(
        operation_id="runs_curves",
        parameters=[documents.RUNS, *documents.CURVES_FILTERS],
        responses=serializers.CurvesOfRunsSerializer,
        filters=False,
    )
    @action(detail=False, pagination_class=None)
    def curves(self, request: Request) -> HttpResponse:
        """Return curves of several runs in one answer; `left_out` counts those that I may not see."""
        asked = _asked_curves(request)
        wanted = _run_ids(request)
        visible: Any = Run.objects.visible_to(cast("Any", request.user), "view").live().filter(pk__in=wanted)
        seen = set(visible.values_list("pk", flat=True))
        found = services.read_curves_of([pk for pk in wanted if pk in seen], **asked)
        runs = [{"id": str(pk), "series": [_curve(curve) for curve in own]} for pk, own in found.items()]
        text = orjson.dumps({"runs": runs, "left_out": len(wanted) - len(runs)})
        return HttpResponse(text, content_type="application/json")

    def _shown(self, run: Run, code: int) -> Response:
        shown = self.shape(Run.objects.visible_to(cast("Any", self.request.user), "view")).get(pk=run.pk)
        return Response(self.get_serializer(shown).data, status=code)


def _asked_curves(request: Request) -> dict[str, Any]:
    """Raises: Invalid for what is no key or no number."""
    keys = [key for key in request.query_params.getlist("key") if key]
    if any(sentence := batches.key_problem({key}) for key in keys):
        raise Invalid(errors={"key": [sentence]})
    return {
        "keys": list(dict.fromkeys(keys)),
        "points": _integer(request, "points", curves.DEFAULT_POINTS),
        "x": request.query_params.get("x", "step"),
    }


def _run_ids(request: Request) -> list[UUID]:
    """Return the runs that are named, each once. Raises: Invalid for what is no id, for none, and for too many."""
    texts = [text for given in request.query_params.getlist("run") for text in given.split(",") if text]
    if not 1 <= len(texts) <= services.MOST_CURVES:
        raise Invalid(errors={"run": [f"Name 1 to {services.MOST_CURVES} runs."]})
    try:
        return list(dict.fromkeys(UUID(text) for text in texts))
    except ValueError:
        raise Invalid(errors={"run": ["Expected ids of runs, separated by commas."]}) from None


def _curve(curve: services.Curve) -> dict[str, Any]:
    points = [[step, time, wire(value), wire(low), wire(high)] for step, time, value, low, high in curve.points]
    facts = {"count": curve.count, "downsampled": curve.downsampled, "sampled": curve.sampled}
    return {"key": curve.key, "points": points, **facts}


def _length(request: Request) -> int:
    text = str(request.META.get("CONTENT_LENGTH") or "0")
    return int(text) if text.isascii() and text.isdigit() else 0


class FolderView(GuardedAPI):
    """The artifacts of a run, folder by folder."""

    policy_actions: ClassVar = {"list": "run:view"}

    @extend_schema(
        operation_id="runs_artifacts_list",
        parameters=[documents.ID, *documents.FOLDER_FILTERS],
        responses=serializers.FolderSerializer,
    )
    def list(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """List what lies directly in a folder, by name."""
        run = find_run(request, id)
        query = request.query_params
        limit, after = _integer(request, "limit", listing.MOST_ENTRIES), query.get("after", "")
        if not 1 <= limit <= listing.MOST_ENTRIES:
            raise Invalid(errors={"limit": [f"Between 1 and {listing.MOST_ENTRIES}."]})
        if after and (sentence := batches.key_problem({after})):
            raise Invalid(errors={"after": [sentence]})
        folder = services.list_folder(run, clean_folder(query.get("path", "")), after=after, limit=limit)
        return Response(
            {
                "next": self._next(request, folder.next_name),
                "previous": None,
                "results": [shown_artifact(entry, run, request.user) for entry in folder.entries],
            }
        )

    @staticmethod
    def _next(request: Request, name: str | None) -> str | None:
        if name is None:
            return None
        query = request.query_params.copy()
        query["after"] = name
        return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


class ArtifactView(GuardedAPI):
    """One file of a run. The bytes travel raw, as a stream: they are never held in memory."""

    policy_actions: ClassVar = {
        "retrieve": "run:view",
        "update": "run:log",
        "partial_update": "run:log",
        "destroy": "run:delete",
    }
    parser_classes = ()

    @extend_schema(
        operation_id="runs_artifacts_download",
        parameters=[documents.ID, documents.PATH, documents.DIRECT],
        responses={302: OpenApiResponse(description="To a signed link on the content origin, good for five minutes.")},
    )
    def retrieve(self, request: Request, id: str, path: str) -> Response:  # noqa: A002 -- the name in the URL
        """Go to the file."""
        run = find_run(request, id)
        artifact = services.find_artifact(run, path)
        link = services.direct_link(artifact) if request.query_params.get("direct") in {"1", "true"} else None
        headers = {
            "Location": link or services.artifact_link(run, artifact.path, by=request.user),
            "Cache-Control": "no-store",
            "X-Content-SHA256": artifact.sha256,
            "X-Content-Size": str(artifact.size_bytes),
        }
        return Response(status=status.HTTP_302_FOUND, headers=headers)

    @extend_schema(
        operation_id="runs_artifacts_put",
        parameters=[documents.ID, documents.PATH, *documents.UPLOAD_HEADERS],
        request={"application/octet-stream": OpenApiTypes.BINARY},
        responses={200: serializers.ArtifactSerializer, 201: serializers.ArtifactSerializer},
    )
    def update(self, request: Request, id: str, path: str) -> Response:  # noqa: A002 -- the name in the URL
        """Keep a file, replacing what was at its path; 201 when the path is new."""
        run = find_run(request, id)
        stream = request._request  # noqa: SLF001 -- the unparsed body
        artifact, is_new = services.save_artifact(
            run,
            path,
            iter(lambda: stream.read(_CHUNK), b""),
            by=request.user,
            content_type=stream.content_type or "",
            sha256=_promised_hash(request),
            size_bytes=_announced(request),
        )
        shown = shown_artifact(listing.entry_of(artifact), run, request.user)
        return Response(shown, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(
        operation_id="runs_artifacts_update",
        parameters=[documents.ID, documents.PATH],
        request=serializers.ArtifactChangesSerializer,
        responses=serializers.ArtifactSerializer,
    )
    def partial_update(self, request: Request, id: str, path: str) -> Response:  # noqa: A002 -- the name in the URL
        """Pin a file: it is kept whatever the rule of its project says."""
        run = find_run(request, id)
        artifact = services.find_artifact(run, path)
        asked = serializers.ArtifactChangesSerializer(data=StrictJSONParser().parse(request._request))  # noqa: SLF001 -- see parser_classes
        asked.is_valid(raise_exception=True)
        services.pin_artifact(artifact, by=request.user, pinned=asked.validated_data["is_pinned"])
        return Response(shown_artifact(listing.entry_of(artifact), run, request.user))

    @extend_schema(
        operation_id="runs_artifacts_destroy", parameters=[documents.ID, documents.PATH], responses={204: None}
    )
    def destroy(self, request: Request, id: str, path: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take a file out of its run."""
        artifact = services.find_artifact(find_run(request, id), path)
        services.delete_artifact(artifact, by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)


def shown_artifact(entry: Entry, run: Run, by: Any) -> dict[str, Any]:
    url = None if entry.is_dir else services.artifact_link(run, entry.path, by=by)
    data: dict[str, Any] = serializers.ArtifactSerializer(
        {
            "path": entry.path,
            "is_dir": entry.is_dir,
            "size_bytes": entry.size_bytes,
            "sha256": entry.sha256,
            "content_type": entry.content_type,
            "created_at": entry.created_at,
            "is_pinned": entry.is_pinned,
            "url": url,
        }
    ).data
    return data


def _announced(request: Request) -> int:
    """Return the Content-Length: without it an upload that was cut off could not be told from a whole one."""
    text = str(request.META.get("CONTENT_LENGTH") or "")
    if not (text.isascii() and text.isdigit()):
        msg = "Send Content-Length."
        raise LengthRequired(msg)
    return int(text)


def _promised_hash(request: Request) -> str:
    text = request.headers.get("X-Content-SHA256", "").lower()
    if text and (len(text) != _SHA256_DIGITS or set(text) - set("0123456789abcdef")):
        raise Invalid(errors={"X-Content-SHA256": ["Expected 64 hexadecimal digits."]})
    return text
