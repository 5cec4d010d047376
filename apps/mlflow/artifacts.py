"""The bytes of files, as MLflow's client sends and fetches them through its tracking server.

A path names an experiment, a run and a file: `<number>/<run>/artifacts/<path>`. What is fetched comes from the content
origin, to which the answer leads; what is sent arrives here, or in parts there.
"""

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.http import HttpResponse
from django.urls import path as at
from rest_framework.request import Request
from typing_extensions import override

from apps.access.api import GuardedAPI
from apps.audit.services import refused
from apps.core.api import translate
from apps.mlflow import calls
from apps.mlflow.authentication import WireAuthentication
from apps.mlflow.calls import Call, absent
from apps.mlflow.errors import NoEndpoint
from apps.mlflow.files import page
from apps.mlflow.finding import find_run, require_live
from apps.mlflow.views import encoded, refusal
from apps.tracking import services as tracking
from apps.tracking.models import Run, Upload
from apps.tracking.paths import clean_folder, clean_path

_CHUNK = 1 << 20
_LINKS = 100
_JSON = "application/json"
_SERVICE = "2.0/mlflow-artifacts"


class BytesView(GuardedAPI):
    """What the views of this module have in common: MLflow's authentication and errors, and a body that is not read."""

    schema: Any = None  # described by MLflow, not by our OpenAPI document
    authentication_classes = (WireAuthentication,)
    parser_classes = ()

    @override
    def handle_exception(self, exc: Exception) -> Any:
        error = translate(exc)
        if error is None:
            raise exc
        return refusal(error)

    @staticmethod
    def body(request: Request) -> Call:
        stream = request._request  # noqa: SLF001 -- the unparsed body
        return Call(request.user, calls.read(stream.read(calls.LARGEST_BODY + 1)))


class FolderView(BytesView):
    """`GET /mlflow-artifacts/artifacts?path=…`: one folder, all of it."""

    policy_actions: ClassVar = {"list": "run:view"}

    def list(self, request: Request) -> HttpResponse:
        run, folder = place_of(request.query_params.get("path", ""), request.user)
        call = Call(request.user, {})
        found: list[Any] = []
        while True:
            part = page(run, clean_folder(folder), call, lambda path: path.rpartition("/")[2])
            found += part["files"]
            if "next_page_token" not in part:
                return _answer({"files": found})
            call = Call(request.user, {"page_token": part["next_page_token"]})


class FileView(BytesView):
    """`/mlflow-artifacts/artifacts/<path>`: one file; what is deleted may be a folder."""

    policy_actions: ClassVar = {"retrieve": "run:view", "update": "run:log", "destroy": "run:delete"}

    def retrieve(self, request: Request, path: str) -> HttpResponse:
        """Lead to the file on the content origin; the client follows, without its token."""
        run, name = place_of(path, request.user)
        artifact = tracking.find_artifact(run, name)
        link = tracking.artifact_link(run, artifact.path, by=request.user)
        headers = {"Location": f"{link}&download=1", "Cache-Control": "no-store"}
        return HttpResponse(status=302, headers=headers)

    def update(self, request: Request, path: str) -> HttpResponse:
        """Keep a file; an empty one comes without a length."""
        run, name = place_of(path, request.user, is_live=True)
        stream = request._request  # noqa: SLF001 -- the unparsed body
        tracking.save_artifact(
            run,
            name,
            iter(lambda: stream.read(_CHUNK), b""),
            by=request.user,
            content_type=stream.content_type or "",
            size_bytes=_announced(request),
        )
        return _answer({})

    def destroy(self, request: Request, path: str) -> HttpResponse:
        run, name = place_of(path, request.user)
        if not tracking.delete_files(run, clean_folder(name), by=request.user):
            raise absent("artifact", name)  # noqa: EM101 -- its kind, not a sentence
        return _answer({})


class PartsView(BytesView):
    """`POST /mlflow-artifacts/mpu/…/<folder>`: a file in parts, of which the client tells neither size nor hash."""

    policy_actions: ClassVar = {"create": "run:log", "complete": "run:log", "abort": "run:log"}

    def create(self, request: Request, path: str) -> HttpResponse:
        call = self.body(request)
        if "/artifacts" not in path:
            # COMPAT: MLflow 2.9 names the folder only, not the run. At these words the client sends the file in one piece.
            msg = "Multipart upload is not supported for the current artifact repository: the path names no run."
            raise NoEndpoint(msg)
        run, name = self._file(call, path)
        parts = call.whole("num_parts", 1)
        upload = tracking.begin_unmeasured_upload(run, name, by=request.user, parts=parts)
        links = [
            link
            for start in range(1, upload.part_count + 1, _LINKS)
            for link in tracking.part_links(
                upload, list(range(start, min(start + _LINKS, upload.part_count + 1))), by=request.user
            )
        ]
        credentials = [{"url": link.url, "part_number": link.number, "headers": {}} for link in links]
        return _answer({"upload_id": str(upload.pk), "credentials": credentials})

    def complete(self, request: Request, path: str) -> HttpResponse:
        return self._end(request, path, tracking.complete_upload)

    def abort(self, request: Request, path: str) -> HttpResponse:
        return self._end(request, path, tracking.abort_upload)

    def _end(self, request: Request, path: str, work: Callable[..., Any]) -> HttpResponse:
        call = self.body(request)
        run, name = self._file(call, path)
        work(_upload_of(call, run, name), by=request.user)
        return _answer({})

    @staticmethod
    def _file(call: Call, folder: str) -> tuple[Run, str]:
        """Return the run and the path of a file that the client names by the folder and by where it lies on its machine."""
        run, inside = place_of(folder, call.user, is_live=True)
        name = call.needed("path").replace("\\", "/").rpartition("/")[2]
        return run, clean_path(f"{inside}/{name}" if inside else name)


class LinkView(BytesView):
    """`GET /mlflow-artifacts/presigned/<path>`: where a large file can be fetched in parts."""

    policy_actions: ClassVar = {"retrieve": "run:view"}

    def retrieve(self, request: Request, path: str) -> HttpResponse:
        run, name = place_of(path, request.user)
        artifact = tracking.find_artifact(run, name)
        link = tracking.direct_link(artifact) or tracking.artifact_link(run, artifact.path, by=request.user)
        return _answer({"url": link, "headers": {}, "file_size": artifact.size_bytes})


def place_of(path: str, user: Any, *, is_live: bool = False) -> tuple[Run, str]:
    """Return the run that a path names, and the rest of the path. Raises: NotFound; with `is_live` Invalid.

    SECURITY: nothing but a run's own files has a path here; what else could be named is answered as what is not there.
    """
    number, _, rest = path.strip("/").partition("/")
    run_hex, _, rest = rest.partition("/")
    word, _, name = rest.partition("/")
    if word != "artifacts":
        raise refused(user, "view", "tracking.run", absent("artifact", path))
    run = find_run(run_hex, user)
    if str(run.project.number) != number:
        raise refused(user, "view", "tracking.run", absent("artifact", path))
    if is_live:
        require_live(run)
    return run, name


def _upload_of(call: Call, run: Run, name: str) -> Upload:
    text = call.needed("upload_id", longest=100)
    rows: Any = Upload.objects.visible_to(call.user, "view").of(call.user).filter(run=run, path=name)
    try:
        found: Upload | None = (
            rows.filter(pk=UUID(text)).select_related("run__team", "run__owner", "quota_node").first()
        )
    except ValueError:
        found = None
    if found is None:
        raise absent("upload", text)  # noqa: EM101 -- its kind, not a sentence
    return found


def _announced(request: Request) -> int | None:
    text = str(request.META.get("CONTENT_LENGTH") or "")
    return int(text) if text.isascii() and text.isdigit() else None


def _answer(document: Any) -> HttpResponse:
    return HttpResponse(encoded(document), content_type=_JSON, headers={"Cache-Control": "no-store"})


_FILE: dict[str, Any] = {"get": "retrieve", "put": "update", "delete": "destroy"}


def patterns() -> list[Any]:
    """Return the paths of this module, under both of MLflow's prefixes."""
    return [
        pattern
        for prefix in ("api", "ajax-api")
        for pattern in (
            at(
                f"{prefix}/{_SERVICE}/artifacts",
                FolderView.as_view({"get": "list"}),
                name=f"mlflow-{prefix}-bytes-folder",
            ),
            at(f"{prefix}/{_SERVICE}/artifacts/<path:path>", FileView.as_view(_FILE), name=f"mlflow-{prefix}-bytes"),
            *(
                at(
                    f"{prefix}/{_SERVICE}/mpu/{step}/<path:path>",
                    PartsView.as_view({"post": step}),
                    name=f"mlflow-{prefix}-parts-{step}",
                )
                for step in ("create", "complete", "abort")
            ),
            at(
                f"{prefix}/{_SERVICE}/presigned/<path:path>",
                LinkView.as_view({"get": "retrieve"}),
                name=f"mlflow-{prefix}-link",
            ),
        )
    ]
