"""Runs: what was tracked, and writing it from outside a job."""

import mimetypes
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fathom.errors import FathomError
from fathom.models import Artifact, MetricSeries, Run
from fathom.paging import Listing
from fathom.resources.paths import artifact_path, path
from fathom.resources.uploads import LARGE, UploadsApi
from fathom.transport import Transport, hash_of


class RunsApi:
    """`client.runs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        *,
        project: str = "",
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Begin a run that no job stands behind; a job begins one beside its own. Without a project: the job's, or "default"."""
        body: dict[str, Any] = {"project": project} if project else {}
        if name:
            body["name"] = name
        if tags:
            body["tags"] = dict(tags)
        reply = self._transport.request("POST", path("runs"), json_body=body, idempotency_key=idempotency_key)
        return Run.from_json(reply.json())

    def list(self, *, project: str | None = None, q: str | None = None, shared: bool = False) -> Listing[Run]:
        """Newest first. `q`: the name contains it; `shared`: only what was shared with me."""
        query = {"project": project, "q": q, "shared": "true" if shared else None}
        return Listing(self._transport, path("runs"), Run.from_json, query)

    def get(self, run_id: str) -> Run:
        return Run.from_json(self._transport.request("GET", path("runs", run_id)).json())

    def finish(self, run_id: str, *, status: str = "finished") -> None:
        """End a run that no job stands behind: `finished`, `failed` or `killed`."""
        self._transport.request("POST", path("runs", run_id, "finish"), json_body={"status": status})

    def delete(self, run_id: str) -> None:
        self._transport.request("DELETE", path("runs", run_id))

    def log_batch(self, run_id: str, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send metrics, params and tags in the API's own form. The same `batch_id` twice adds nothing."""
        reply = self._transport.request("POST", path("runs", run_id, "log-batch"), json_body=batch)
        result: Mapping[str, Any] = reply.json() or {}
        return result

    def metrics(
        self, run_id: str, *, keys: Sequence[str] | None = None, points: int = 1000, x: str = "step"
    ) -> tuple[MetricSeries, ...]:
        """Curves, down-sampled to `points` each; `x` is `step` or `time`. Without `keys`, of all metrics."""
        query = {"key": list(keys or ()), "points": points, "x": x}
        body = self._transport.request("GET", path("runs", run_id, "metrics"), query=query).json()
        return tuple(MetricSeries.from_json(series) for series in body["series"])

    def curves(
        self, run_ids: Sequence[str], keys: Sequence[str], *, points: int = 1000, x: str = "step"
    ) -> dict[str, tuple[MetricSeries, ...]]:
        """Curves of up to 200 runs in one answer, as `metrics` gives them, by run; what one may not see is absent."""
        query = {"run": list(run_ids), "key": list(keys), "points": points, "x": x}
        body = self._transport.request("GET", path("runs", "curves"), query=query).json()
        return {run["id"]: tuple(MetricSeries.from_json(series) for series in run["series"]) for run in body["runs"]}

    def tensorboard(self, run_id: str) -> tuple[MetricSeries, ...]:
        """Scalars of the TensorBoard event files among the artifacts, down-sampled."""
        body = self._transport.request("GET", path("runs", run_id, "tensorboard")).json()
        return tuple(MetricSeries.from_json(series) for series in body["series"])

    def artifacts(self, run_id: str, *, folder: str = "") -> Listing[Artifact]:
        """Files and folders directly in `folder`."""
        query = {"path": folder or None}
        return Listing(self._transport, path("runs", run_id, "artifacts"), Artifact.from_json, query)

    def walk_artifacts(self, run_id: str, *, folder: str = "") -> Iterator[Artifact]:
        """All files below `folder`."""
        for item in self.artifacts(run_id, folder=folder):
            if item.is_dir:
                yield from self.walk_artifacts(run_id, folder=item.path)
            else:
                yield item

    def put_artifact(
        self,
        run_id: str,
        source: str | os.PathLike[str],
        name: str | None = None,
        *,
        content_type: str | None = None,
        sha256: str | None = None,
    ) -> Artifact | None:
        """Upload a file as `name` (by default its own name). The platform checks the hash of what arrived.

        Large files travel in parts: what was sent before a connection was lost, or this process ended, is not sent again.
        Nothing is sent of a file whose bytes one may see on the platform already.
        """
        file = Path(source)
        name = name or file.name
        kind = content_type or guess_type(name)
        digest = sha256 or hash_of(file)
        if file.stat().st_size >= LARGE:
            return UploadsApi(self._transport).send(run_id, file, name, content_type=kind, sha256=digest)
        headers = {"Content-Type": kind, "X-Content-SHA256": digest}
        reply = self._transport.request("PUT", artifact_path(run_id, name), body=file, headers=headers)
        return Artifact.from_json(reply.json()) if reply.data else None

    def get_artifact(self, run_id: str, name: str, target: str | os.PathLike[str]) -> Path:
        """Download one file to `target`, which may be a folder; its folder is made."""
        goal = Path(target)
        if goal.is_dir():
            goal = goal / PurePosixPath(name).name
        goal.parent.mkdir(parents=True, exist_ok=True)
        self._transport.download(f"{artifact_path(run_id, name)}?direct=1", goal)
        return goal

    def get_artifacts(self, run_id: str, target: str | os.PathLike[str], *, folder: str = "") -> Iterator[Path]:
        """Download all files below `folder` into `target`, keeping their paths; yields each as it is done."""
        root = Path(target)
        for item in self.walk_artifacts(run_id, folder=folder):
            yield self.get_artifact(run_id, item.path, root.joinpath(*safe_parts(item.path)))

    def pin_artifact(self, run_id: str, name: str, *, pinned: bool = True) -> Artifact:
        """Keep a file whatever the rule of its project says, or let the rule decide again."""
        body = {"is_pinned": pinned}
        return Artifact.from_json(self._transport.request("PATCH", artifact_path(run_id, name), json_body=body).json())

    def delete_artifact(self, run_id: str, name: str) -> None:
        self._transport.request("DELETE", artifact_path(run_id, name))


def guess_type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def safe_parts(name: str) -> tuple[str, ...]:
    """SECURITY: an artifact's name was chosen by a job; it must not leave the folder it is downloaded into."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or ".." in parts or ":" in parts[0]:
        message = f"The artifact {name!r} has a name that cannot be written to a folder safely."
        raise FathomError(message)
    return parts
