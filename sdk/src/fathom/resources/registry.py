"""Models: registering, moving aliases and stages, rules and approvals, downloading; and lineage."""

import json
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.errors import FathomError, NotFound
from fathom.models.registry import ModelFile, ModelMove, ModelRule, ModelVersion, MoveRequest, RegisteredModel
from fathom.paging import Listing
from fathom.resources.paths import path
from fathom.resources.runs import safe_parts
from fathom.transport import Transport

Version = int | str
"""A version's number, an alias that points to it, or "latest"."""


class ModelsApi:
    """`client.models`. A model is named by its id; `find` gives it for a name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self, **filters: Any) -> Listing[RegisteredModel]:
        """Newest first. Filters: q (part of the name), name, team, tag ("key=value"), shared."""
        query = {key: "true" if value is True else value for key, value in filters.items() if value}
        return Listing(self._transport, path("models"), RegisteredModel.from_json, query)

    def create(self, name: str, **details: Any) -> RegisteredModel:
        """Make a name to register versions under. `details`: team, visibility, description (the card), tags."""
        body = {"name": name, **{key: value for key, value in details.items() if value is not None}}
        return RegisteredModel.from_json(self._transport.request("POST", path("models"), json_body=body).json())

    def get(self, model_id: str) -> RegisteredModel:
        return RegisteredModel.from_json(self._transport.request("GET", path("models", model_id)).json())

    def find(self, name: str) -> RegisteredModel:
        """The model of that name. Raises: NotFound without one, FathomError when several have it."""
        found = self.list(name=name).first(2)
        if not found:
            message = f"There is no model called {name}, or you may not see it."
            raise NotFound(message, code="not_found", status=404)
        if len(found) > 1:
            message = f"Several models are called {name}. Name one by its id."
            raise FathomError(message)
        return found[0]

    def update(self, model_id: str, **changes: Any) -> RegisteredModel:
        """Change name, description, visibility or tags; a tag that is None is taken off."""
        reply = self._transport.request("PATCH", path("models", model_id), json_body=changes)
        return RegisteredModel.from_json(reply.json())

    def delete(self, model_id: str, *, reason: str = "") -> None:
        """Take a model and its versions out of sight; nothing is erased."""
        self._transport.request("DELETE", path("models", model_id), query=_given(reason=reason))

    def register(
        self,
        name: str,
        source: str | os.PathLike[str] | None = None,
        *,
        run: str | None = None,
        path: str = "",
        team: str | None = None,
        **details: Any,
    ) -> ModelVersion:
        """Make the next version of the model called `name`, from local files or from a run; makes the model if need be."""
        if (source is None) == (run is None):
            message = "Name either local files or a run."
            raise FathomError(message)
        try:
            model = self.find(name)
        except NotFound:
            model = self.create(name, team=team)
        if run is not None:
            return self.register_run(model.id, run, path, **details)
        return self.upload(model.id, source or "", **details)

    def register_run(self, model_id: str, run: str, folder: str = "", **details: Any) -> ModelVersion:
        """Make the next version from what a run kept; the files are referred to, not copied."""
        body = {"run": run, "path": folder, **{key: value for key, value in details.items() if value is not None}}
        reply = self._transport.request("POST", path("models", model_id, "versions"), json_body=body)
        return ModelVersion.from_json(reply.json())

    def upload(self, model_id: str, source: str | os.PathLike[str], **details: Any) -> ModelVersion:
        """Make the next version from a folder, or a file. A cut-off upload leaves nothing behind."""
        with tempfile.TemporaryDirectory() as folder:
            archive = _packed(Path(source), Path(folder) / "model.tar")
            told = {key: value for key, value in details.items() if value is not None}
            query = {"details": json.dumps(told, separators=(",", ":"))} if told else None
            reply = self._transport.request(
                "POST",
                path("models", model_id, "uploads"),
                body=archive,
                headers={"Content-Type": "application/x-tar"},
                query=query,
            )
        return ModelVersion.from_json(reply.json())

    def versions(self, model_id: str, *, stage: str | None = None, tag: str | None = None) -> Listing[ModelVersion]:
        """Newest first."""
        query = _given(stage=stage, tag=tag)
        return Listing(self._transport, path("models", model_id, "versions"), ModelVersion.from_json, query)

    def version(self, model_id: str, version: Version) -> ModelVersion:
        return ModelVersion.from_json(self._transport.request("GET", _version(model_id, version)).json())

    def update_version(self, model_id: str, version: Version, **changes: Any) -> ModelVersion:
        """Change description or tags; a tag that is None is taken off."""
        reply = self._transport.request("PATCH", _version(model_id, version), json_body=changes)
        return ModelVersion.from_json(reply.json())

    def delete_version(self, model_id: str, version: Version, *, reason: str = "") -> None:
        """Take a version out of sight with its aliases; its number is not given again."""
        self._transport.request("DELETE", _version(model_id, version), query=_given(reason=reason))

    def set_alias(self, model_id: str, alias: str, version: Version, *, reason: str = "") -> None:
        """Let an alias point to a version. Raises: Forbidden for a protected one, saying what is missing."""
        body = {"version": str(version), "reason": reason}
        self._transport.request("PUT", path("models", model_id, "aliases", alias), json_body=body)

    def remove_alias(self, model_id: str, alias: str, *, reason: str = "") -> None:
        self._transport.request("DELETE", path("models", model_id, "aliases", alias), query=_given(reason=reason))

    def set_stage(
        self, model_id: str, version: Version, stage: str, *, reason: str = "", archive_others: bool = False
    ) -> ModelVersion:
        """Put a version into None, Staging, Production or Archived. Raises: Forbidden as `set_alias`."""
        body = {"stage": stage, "reason": reason, "archive_others": archive_others}
        reply = self._transport.request("POST", f"{_version(model_id, version)}stage/", json_body=body)
        return ModelVersion.from_json(reply.json())

    def moves(self, model_id: str) -> Listing[ModelMove]:
        """Every move of aliases and stages, newest first."""
        return Listing(self._transport, path("models", model_id, "moves"), ModelMove.from_json)

    def pointed_to(self, model_id: str, alias: str, *, at: str | None = None) -> ModelMove:
        """What an alias pointed to at a moment (RFC 3339; default now). Raises: NotFound when it pointed nowhere."""
        query = _given(alias=alias, at=at)
        return ModelMove.from_json(
            self._transport.request("GET", path("models", model_id, "pointed"), query=query).json()
        )

    def compare(self, model_id: str, *versions: Version) -> dict[str, Any]:
        """Put versions side by side, in the API's own form."""
        query = {"version": [str(version) for version in versions]}
        found: dict[str, Any] = self._transport.request("GET", path("models", model_id, "compare"), query=query).json()
        return found

    def files(self, model_id: str, version: Version) -> Listing[ModelFile]:
        return Listing(self._transport, f"{_version(model_id, version)}files/", ModelFile.from_json)

    def get_file(self, model_id: str, version: Version, name: str, target: str | os.PathLike[str]) -> Path:
        """Download one file to `target`."""
        goal = Path(target)
        goal.parent.mkdir(parents=True, exist_ok=True)
        self._transport.download(f"{_version(model_id, version)}files/{_escaped(name)}", goal)
        return goal

    def download(self, model_id: str, version: Version, target: str | os.PathLike[str]) -> Iterator[Path]:
        """Download all files into the folder `target`; yields each as it is unpacked."""
        root = Path(target)
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root) as folder:
            archive = Path(folder) / "model.zip"
            self._transport.download(f"{_version(model_id, version)}archive/", archive)
            with zipfile.ZipFile(archive) as opened:
                for name in opened.namelist():
                    goal = root.joinpath(*safe_parts(name))
                    goal.parent.mkdir(parents=True, exist_ok=True)
                    goal.write_bytes(opened.read(name))
                    yield goal

    def rules(self, model_id: str) -> Sequence[ModelRule]:
        """What is protected, and by what."""
        found = self._transport.request("GET", path("models", model_id, "protections")).json()
        return tuple(ModelRule.from_json(item) for item in found)

    def protect(self, model_id: str, name: str = "", *, target: str = "alias", **rule: Any) -> ModelRule:
        """Protect an alias or a stage. `rule`: approvals, separate_duties, thresholds, reason."""
        body = {"target": target, "name": name, **rule}
        reply = self._transport.request("POST", path("models", model_id, "protections"), json_body=body)
        return ModelRule.from_json(reply.json())

    def unprotect(self, model_id: str, rule_id: str, *, reason: str = "") -> None:
        self._transport.request("DELETE", path("models", model_id, "protections", rule_id), query=_given(reason=reason))

    def request_move(
        self,
        model_id: str,
        name: str,
        version: Version,
        *,
        reason: str,
        target: str = "alias",
        removes: bool = False,
    ) -> MoveRequest:
        """Ask others to approve the move of an alias (or stage) that is protected."""
        body = {"target": target, "name": name, "version": str(version), "reason": reason, "removes": removes}
        return MoveRequest.from_json(
            self._transport.request("POST", path("models", model_id, "requests"), json_body=body).json()
        )

    def requests(self, *, state: str | None = None, model: str | None = None) -> Listing[MoveRequest]:
        """Requests of models I may see, newest first. State: open, done, refused, withdrawn."""
        query = _given(state=state, model=model)
        return Listing(self._transport, path("model-requests"), MoveRequest.from_json, query)

    def request(self, request_id: str) -> MoveRequest:
        return MoveRequest.from_json(self._transport.request("GET", path("model-requests", request_id)).json())

    def approve(self, request_id: str, *, reason: str = "") -> MoveRequest:
        """Approve a request; the approval that completes the rule carries it out."""
        return self._answer(request_id, "approve", {"reason": reason})

    def refuse(self, request_id: str, *, reason: str) -> MoveRequest:
        """Refuse a request, which ends it."""
        return self._answer(request_id, "refuse", {"reason": reason})

    def withdraw(self, request_id: str) -> MoveRequest:
        """Take back what I asked for."""
        return self._answer(request_id, "withdraw", None)

    def lineage(self, kind: str, node_id: str, *, direction: str = "both", depth: int = 3) -> dict[str, Any]:
        """What came from what, in the API's own form. Kinds: run, modelversion, dataset, code, environment."""
        query = {"direction": direction, "depth": depth}
        found: dict[str, Any] = self._transport.request("GET", path("lineage", kind, node_id), query=query).json()
        return found

    def _answer(self, request_id: str, verb: str, body: Mapping[str, Any] | None) -> MoveRequest:
        reply = self._transport.request("POST", path("model-requests", request_id, verb), json_body=body)
        return MoveRequest.from_json(reply.json())


def _version(model_id: str, version: Version) -> str:
    return path("models", model_id, "versions", str(version))


def _escaped(name: str) -> str:
    return path(*name.split("/")).removeprefix("/api/v2/").removesuffix("/")


def _given(**query: Any) -> dict[str, Any]:
    return {key: value for key, value in query.items() if value}


def _packed(source: Path, archive: Path) -> Path:
    """Write a folder's files, or one file, into a tar. Links are followed no further than the folder."""
    if not source.exists():
        message = f"There is no {source}."
        raise FathomError(message)
    root = source.resolve()
    files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
    if not files:
        message = f"There is no file in {source}."
        raise FathomError(message)
    with tarfile.open(archive, "w") as packed:
        for file in files:
            if root.is_dir() and not file.resolve().is_relative_to(root):
                message = f"{file} is a link that leaves the folder."
                raise FathomError(message)
            name = file.relative_to(root).as_posix() if root.is_dir() else file.name
            with file.open("rb") as opened:
                member = tarfile.TarInfo(name)
                member.size = os.fstat(opened.fileno()).st_size
                packed.addfile(member, opened)
    return archive
