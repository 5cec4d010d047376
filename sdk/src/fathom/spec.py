"""The spec of an experiment: its shape, and reading it from a file.

The platform validates; here is only what a file on this machine needs: YAML or JSON, and a code folder relative to it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from fathom.errors import FathomError


class GitCode(TypedDict, total=False):
    """A commit of a git repository. `patch` is an upload of what lies on top of it."""

    url: str
    ref: str
    branch: str
    credential: str
    subfolder: str
    submodules: bool
    patch: str


class Code(TypedDict, total=False):
    """Exactly one of `upload`, `git` and `archive`; `credential` and `sha256` are the archive's."""

    upload: str
    git: GitCode
    archive: str
    credential: str
    sha256: str


class Resources(TypedDict, total=False):
    cpu: int | float | str
    memory: int | str
    gpu: int | str
    gpu_model: str
    disk: int | str
    other: dict[str, int]


class ClusterChoice(TypedDict, total=False):
    name: str
    kind: str
    labels: dict[str, str]


CredentialChoice = TypedDict("CredentialChoice", {"name": str, "as": str}, total=False)


class Spec(TypedDict, total=False):
    """What `Client.experiments.create` takes. Only `command` is required; the platform refuses unknown fields."""

    name: str
    kind: str
    command: str | list[str]
    code: Code
    resources: Resources
    env: dict[str, str]
    credentials: list[CredentialChoice]
    timeout: str | int | float
    grace: str | int | float
    priority: int
    priority_class: str
    retries: int
    cluster: ClusterChoice
    project: str
    team: str | None
    visibility: str
    tags: dict[str, str]


def load_spec(path: Path) -> dict[str, Any]:
    """Read a spec file. A local folder in `code.upload` comes back as an absolute path (relative to the file).

    Raises: FathomError when the file cannot be read or is not a mapping.
    """
    import yaml  # noqa: PLC0415 -- only spec files need it

    try:
        spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"The spec file {path} cannot be read: {error.strerror}"
        raise FathomError(message) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"The spec file {path} is not valid YAML or JSON: {error}"
        raise FathomError(message) from error
    if not isinstance(spec, dict):
        message = f"The spec file {path} must hold a mapping (command: …), not {type(spec).__name__}."
        raise FathomError(message)
    folder = local_code(spec)
    if folder:
        spec["code"] = {**spec["code"], "upload": str(path.parent.joinpath(folder).resolve())}
    return spec


def local_code(spec: Mapping[str, Any]) -> str | None:
    """The folder named in `code.upload`, or None when there is none or it is uploaded already (`sha256:…`)."""
    code = spec.get("code")
    upload = code.get("upload") if isinstance(code, Mapping) else None
    return upload if isinstance(upload, str) and upload and not upload.startswith("sha256:") else None
