"""Backend kinds by name, from `settings.COMPUTE_BACKENDS`; the only importer of backend packages."""

from functools import lru_cache
from typing import Any

import orjson
from django.conf import settings
from django.utils.module_loading import import_string

from apps.compute.backends.base import Backend, BackendSettings, EnvironmentBuilder
from apps.core.errors import Invalid


def kinds() -> list[str]:
    return sorted(settings.COMPUTE_BACKENDS)


def backend_class(kind: str) -> type[Backend]:
    """Import the class of a kind on first use. Raises: Invalid for an unknown kind."""
    try:
        path = settings.COMPUTE_BACKENDS[kind]
    except KeyError:
        raise Invalid(errors={"kind": [f"One of {', '.join(kinds())}."]}) from None
    cls: type[Backend] = import_string(path)
    return cls


def parse_settings(kind: str, raw: dict[str, Any]) -> BackendSettings:
    """Validate a cluster's settings. Raises: Invalid, naming the field."""
    try:
        return backend_class(kind).settings_schema.parse(raw)
    except ValueError as error:
        raise Invalid(errors={"settings": [str(error)]}) from error


def connect(kind: str, raw: dict[str, Any]) -> Backend:
    """Return the backend of a cluster; one object per kind and settings, safe to use from several threads."""
    return _connect(kind, orjson.dumps(raw, option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=64)
def _connect(kind: str, raw: bytes) -> Backend:
    return backend_class(kind)(parse_settings(kind, orjson.loads(raw)))


def environment_builder(kind: str, raw: dict[str, Any]) -> EnvironmentBuilder:
    """Return what builds environments on a cluster. Raises: Invalid when nothing does."""
    backend = connect(kind, raw)
    if not isinstance(backend, EnvironmentBuilder):
        raise Invalid(errors={"cluster": ["It runs no environments."]})
    return backend
