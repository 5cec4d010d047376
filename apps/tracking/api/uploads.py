"""Files in parts: begin, ask where the parts go, complete; resumed after anything that broke off."""

from typing import Any, ClassVar, cast
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access.api import GuardedAPI
from apps.core.errors import NotFound
from apps.tracking import listing, services
from apps.tracking.api import documents
from apps.tracking.api.serializers import ArtifactSerializer
from apps.tracking.api.views import find_run, shown_artifact
from apps.tracking.models import Upload
from apps.tracking.services import uploads


class NewUploadSerializer(serializers.Serializer[Any]):
    """What is promised of a file; it is checked when all of it has come."""

    path = serializers.CharField(max_length=500, trim_whitespace=False)
    size_bytes = serializers.IntegerField(min_value=0, max_value=(1 << 63) - 1)
    sha256 = serializers.RegexField(r"\A[0-9a-f]{64}\Z")
    content_type = serializers.CharField(max_length=120, required=False, allow_blank=True, default="")
    part_bytes = serializers.IntegerField(
        required=False, default=uploads.PART_BYTES, min_value=1, max_value=(1 << 63) - 1
    )


class ReceivedSerializer(serializers.Serializer[Any]):
    part = serializers.IntegerField()
    size_bytes = serializers.IntegerField()


class UploadSerializer(serializers.Serializer[Any]):
    """An upload: part 1 to part `part_count`, each of `part_bytes` but the last. `artifact`: what came of it."""

    id = serializers.UUIDField(allow_null=True, help_text="Null: nothing has to be sent, the file is there.")
    state = serializers.ChoiceField(choices=["open", "completed"])
    path = serializers.CharField()
    size_bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField()
    part_bytes = serializers.IntegerField(allow_null=True)
    part_count = serializers.IntegerField()
    received = ReceivedSerializer(many=True)
    expires_at = serializers.DateTimeField(allow_null=True)
    artifact = ArtifactSerializer(allow_null=True)


class WantedPartsSerializer(serializers.Serializer[Any]):
    parts = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=1 << 31), min_length=1, max_length=uploads.MOST_LINKS
    )


class PartLinkSerializer(serializers.Serializer[Any]):
    """PUT the part's bytes to `url`, without any token. `is_direct`: it is the store's own address."""

    part = serializers.IntegerField()
    url = serializers.CharField()
    is_direct = serializers.BooleanField()


class PartLinksSerializer(serializers.Serializer[Any]):
    results = PartLinkSerializer(many=True)


class UploadsView(GuardedAPI):
    """Where uploads to a run begin."""

    policy_actions: ClassVar = {"create": "run:log"}

    @extend_schema(
        operation_id="runs_uploads_create",
        parameters=[documents.ID],
        request=NewUploadSerializer,
        responses={200: UploadSerializer, 201: UploadSerializer},
    )
    def create(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Begin an upload, or go on with one of the same file; 201 when the file is there without sending anything."""
        run = find_run(request, id)
        asked = NewUploadSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        data = dict(asked.validated_data)
        upload, artifact = services.begin_upload(run, data.pop("path"), by=request.user, **data)
        if upload is None:
            entry = shown_artifact(listing.entry_of(cast("Any", artifact)), run, request.user)
            return Response(_there(entry), status=status.HTTP_201_CREATED)
        return Response(_shown(upload, request))


class UploadView(GuardedAPI):
    """One upload, for who began it alone."""

    policy_actions: ClassVar = {"retrieve": "run:view", "destroy": "run:log", "links": "run:log", "complete": "run:log"}

    @extend_schema(operation_id="uploads_retrieve", parameters=[documents.UPLOAD_ID], responses=UploadSerializer)
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Say which parts are there."""
        return Response(_shown(_find(request, id), request))

    @extend_schema(operation_id="uploads_destroy", parameters=[documents.UPLOAD_ID], responses={204: None})
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Give an upload up."""
        services.abort_upload(_find(request, id), by=request.user)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="uploads_links",
        parameters=[documents.UPLOAD_ID],
        request=WantedPartsSerializer,
        responses=PartLinksSerializer,
    )
    def links(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Return where to put some parts: links for me alone, good for an hour."""
        upload = _find(request, id)
        asked = WantedPartsSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        found = services.part_links(upload, asked.validated_data["parts"], by=request.user)
        return Response(
            {"results": [{"part": link.number, "url": link.url, "is_direct": link.is_direct} for link in found]}
        )

    @extend_schema(
        operation_id="uploads_complete",
        parameters=[documents.UPLOAD_ID],
        request=None,
        responses=ArtifactSerializer,
    )
    def complete(self, request: Request, id: str) -> Response:  # noqa: A002 -- the name in the URL
        """Check the file against what was promised and show it. The same again gives the same answer."""
        upload = _find(request, id)
        artifact = services.complete_upload(upload, by=request.user)
        return Response(shown_artifact(listing.entry_of(artifact), upload.run, request.user))


def _find(request: Request, text: str) -> Upload:
    rows: Any = Upload.objects.visible_to(cast("Any", request.user), "view")
    try:
        rows = rows.of(request.user).filter(pk=UUID(text), run__archived_at=None)
    except ValueError:
        raise NotFound from None
    found = rows.select_related("run__team", "run__owner", "quota_node").first()
    if found is None:
        raise NotFound
    return cast("Upload", found)


def _shown(upload: Upload, request: Request) -> dict[str, Any]:
    done = uploads.outcome_of(upload)
    artifact = None if done is None else shown_artifact(listing.entry_of(done), upload.run, request.user)
    received = sorted(services.received_parts(upload).items())
    return {
        "id": str(upload.pk),
        "state": "completed" if upload.completed_at else "open",
        "path": upload.path,
        "size_bytes": upload.size_bytes,
        "sha256": upload.sha256,
        "part_bytes": upload.part_bytes,
        "part_count": upload.part_count,
        "received": [{"part": part, "size_bytes": size} for part, size in received],
        "expires_at": upload.expires_at,
        "artifact": artifact,
    }


def _there(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown of an upload that was none."""
    return {
        "id": None,
        "state": "completed",
        "path": entry["path"],
        "size_bytes": entry["size_bytes"],
        "sha256": entry["sha256"],
        "part_bytes": None,
        "part_count": 0,
        "received": [],
        "expires_at": None,
        "artifact": entry,
    }
