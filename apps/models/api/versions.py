"""The versions of a model: made from a run or an upload, changed a little, moved through stages, downloaded."""

from typing import Any, ClassVar, cast

import orjson
from django.conf import settings
from django.db.models import QuerySet, prefetch_related_objects
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from typing_extensions import override

from apps.access import policy
from apps.access.api import GuardedAPI, GuardedViewSet
from apps.core.api import asked_for
from apps.core.errors import DomainError, Invalid, NotFound, TooLarge
from apps.models import downloads, services
from apps.models.api import documents, serializers
from apps.models.api.finding import details_of, the_model, the_version
from apps.models.filters import VersionFilter
from apps.models.models import ModelVersion, VersionFile
from apps.models.reading import Announced, UploadCut
from apps.tracking.models import Run

_MOST_FILES = 1000
_SEE_LINK = {302: OpenApiResponse(description="To a signed link on the content origin, good for five minutes.")}


class LengthRequired(DomainError):
    code = "length_required"
    status = 411
    title = "Length required"


class UnsupportedMediaType(DomainError):
    code = "unsupported_media_type"
    status = 415
    title = "Unsupported media type"


class VersionViewSet(ListModelMixin, GuardedViewSet):
    """The versions of one model."""

    model = ModelVersion
    queryset = ModelVersion.objects.none()
    serializer_class = serializers.VersionSerializer
    policy_actions: ClassVar = {
        "list": "view",
        "retrieve": "view",
        "create": "edit",
        "partial_update": "edit",
        "destroy": "delete",
        "stage": "move",
    }

    @override
    def shape(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        rows: Any = queryset
        shaped: QuerySet[Any] = rows.live().with_details()
        return shaped

    @override
    def get_queryset(self) -> QuerySet[Any]:
        rows: Any = ModelVersion.objects.visible_to(cast("Any", self.request.user), "view")
        return self.shape(rows.filter(model=the_model(self.request, self.kwargs["id"])))

    @override
    def get_object(self) -> ModelVersion:
        version = the_version(the_model(self.request, self.kwargs["id"]), self.kwargs["version"])
        wanted = self.policy_actions[str(self.action)]
        if wanted != "view":
            policy.require(cast("Any", self.request.user), wanted, version)
        return version

    @extend_schema(operation_id="models_versions_list", parameters=[documents.ID, *documents.VERSION_FILTERS])
    @override
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the versions of a model, newest first."""
        rows: Any = VersionFilter.read(request.query_params).apply(cast("Any", self.get_queryset()))
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="models_versions_retrieve", parameters=[documents.ID, documents.VERSION])
    def retrieve(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """Show a version."""
        return self._shown(self.get_object(), status.HTTP_200_OK)

    @extend_schema(
        operation_id="models_versions_create",
        parameters=[documents.ID],
        request=serializers.NewVersionSerializer,
        responses={201: serializers.VersionSerializer},
        examples=[documents.NEW_VERSION],
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Make the next version from what a run kept."""
        model = the_model(request, id, "register")
        asked = asked_for(serializers.NewVersionSerializer, request)
        run = Run.objects.visible_to(cast("Any", request.user), "view").live().filter(pk=asked["run"]).first()
        if run is None:
            raise Invalid(errors={"run": ["There is no such run, or you may not see it."]})
        made = services.register_run(model, run, asked["path"], by=request.user, details=details_of(asked))
        prefetch_related_objects([made], "tags", "aliases")
        return Response(serializers.VersionSerializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="models_versions_update",
        parameters=[documents.ID, documents.VERSION],
        request=serializers.VersionChangesSerializer,
        responses=serializers.VersionSerializer,
    )
    def partial_update(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """Change a version's card or tags."""
        found = self.get_object()
        asked = asked_for(serializers.VersionChangesSerializer, request)
        tags = asked.get("tags", {})
        if "description" in asked:
            services.update_version(found, by=request.user, description=asked["description"])
        if kept := {key: value for key, value in tags.items() if value is not None}:
            services.tag_version(found, kept, by=request.user)
        for key in [key for key, value in tags.items() if value is None]:
            services.untag_version(found, key, by=request.user)
        return self._shown(found, status.HTTP_200_OK)

    @extend_schema(
        operation_id="models_versions_destroy",
        parameters=[documents.ID, documents.VERSION, documents.REASON],
        responses={204: None},
    )
    def destroy(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """Take a version out of sight, and its aliases away; its number is not given again."""
        services.archive_version(self.get_object(), by=request.user, reason=request.query_params.get("reason", ""))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="models_versions_stage",
        parameters=[documents.ID, documents.VERSION],
        request=serializers.StageSerializer,
        responses=serializers.VersionSerializer,
    )
    @action(detail=True, methods=["post"])
    def stage(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """Put a version into a stage. A protected one answers 403 and says what is missing."""
        found = self.get_object()
        asked = asked_for(serializers.StageSerializer, request)
        moved = services.move_stage(found, asked.pop("stage"), by=request.user, **asked)
        return self._shown(moved, status.HTTP_200_OK)

    def _shown(self, version: ModelVersion, code: int) -> Response:
        shown = (
            ModelVersion.objects.visible_to(cast("Any", self.request.user), "view").with_details().get(pk=version.pk)
        )
        return Response(serializers.VersionSerializer(shown).data, status=code)


class UploadAPI(GuardedAPI):
    """A version from bytes that are sent: an archive, or one file. The body travels raw, as a stream."""

    policy_actions: ClassVar = {"create": "model:register"}
    parser_classes = ()

    @extend_schema(
        operation_id="models_versions_upload",
        parameters=[documents.ID, *documents.UPLOAD],
        request=documents.UPLOADED,
        responses={201: serializers.VersionSerializer},
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Make the next version from an archive (zip, tar, tar.gz) or from one file. Cut off, it leaves nothing."""
        model = the_model(request, id, "register")
        details = details_of(_said(request))
        stream = Announced(request._request, _announced(request))  # noqa: SLF001 -- the unparsed body
        kind = (request._request.content_type or "").lower()  # noqa: SLF001 -- as above
        try:
            if kind in services.FORMATS:
                kept = services.store_archive(cast("Any", stream), kind)
                stream.finish()
            elif kind == "application/octet-stream":
                kept = services.store_files([(request.query_params.get("filename", ""), stream.chunks())])
            else:
                msg = f"Send {', '.join(services.FORMATS)}, or application/octet-stream with a filename."
                raise UnsupportedMediaType(msg)
        except UploadCut as cut:
            raise Invalid(str(cut)) from cut
        made = services.register_files(model, kept, by=request.user, details=details)
        shown = ModelVersion.objects.visible_to(cast("Any", request.user), "view").with_details().get(pk=made.pk)
        return Response(serializers.VersionSerializer(shown).data, status=status.HTTP_201_CREATED)


class FilesAPI(GuardedAPI):
    """The files of a version."""

    policy_actions: ClassVar = {"list": "model:view", "retrieve": "model:view", "archive": "model:view"}

    @extend_schema(
        operation_id="models_files_list",
        parameters=[documents.ID, documents.VERSION, *documents.FILES],
        responses=serializers.FilesSerializer,
    )
    def list(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """List the files of a version by path, each with a signed link."""
        found = the_version(the_model(request, id), version)
        limit, after = _limit(request), request.query_params.get("after", "").replace("\x00", "")
        rows: list[VersionFile] = list(found.files.filter(path__gt=after).order_by("path")[: limit + 1])
        told = [
            {
                "path": row.path,
                "size_bytes": row.size_bytes,
                "sha256": row.sha256,
                "content_type": row.content_type,
                "url": downloads.file_link(found.pk, row.path, by=request.user),
            }
            for row in rows[:limit]
        ]
        onward = None
        if len(rows) > limit:
            query = request.query_params.copy()
            query["after"] = rows[limit - 1].path
            onward = request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
        return Response({"next": onward, "previous": None, "results": told})

    @extend_schema(
        operation_id="models_files_download",
        parameters=[documents.ID, documents.VERSION, documents.PATH],
        responses=_SEE_LINK,
    )
    def retrieve(self, request: Request, id: str, version: str, path: str) -> Response:  # noqa: A002 -- the name in the URL
        """Go to a file."""
        found = the_version(the_model(request, id), version)
        if "\x00" in path or not found.files.filter(path=path).exists():
            raise NotFound
        return _see(downloads.file_link(found.pk, path, by=request.user))

    @extend_schema(
        operation_id="models_files_archive", parameters=[documents.ID, documents.VERSION], responses=_SEE_LINK
    )
    def archive(self, request: Request, id: str, version: str) -> Response:  # noqa: A002 -- the name in the URL
        """Go to all files as a zip, which is made while it is sent."""
        found = the_version(the_model(request, id), version)
        return _see(downloads.archive_link(found, by=request.user))


def _see(link: str) -> Response:
    return Response(status=status.HTTP_302_FOUND, headers={"Location": link, "Cache-Control": "no-store"})


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_MOST_FILES))
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= _MOST_FILES):  # noqa: PLR2004 -- digits
        raise Invalid(errors={"limit": [f"Between 1 and {_MOST_FILES}."]})
    return int(text)


def _announced(request: Request) -> int:
    """Return the Content-Length: without it an upload that was cut off could not be told from a whole one."""
    text = str(request.META.get("CONTENT_LENGTH") or "")
    if not (text.isascii() and text.isdigit()):
        msg = "Send Content-Length."
        raise LengthRequired(msg)
    if int(text) > settings.ARTIFACT_LIMIT_BYTES:
        msg = f"The upload is larger than {settings.ARTIFACT_LIMIT_BYTES} bytes."
        raise TooLarge(msg)
    return int(text)


def _said(request: Request) -> dict[str, Any]:
    text = request.query_params.get("details", "") or "{}"
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(errors={"details": [f"Not valid JSON: {error}"]}) from error
    asked = serializers.DetailsSerializer(data=given)
    asked.is_valid(raise_exception=True)
    return dict(asked.validated_data)
