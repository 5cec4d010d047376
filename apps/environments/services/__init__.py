"""The front door of environments: every write, and the reads that are more than a queryset."""

from apps.environments.recipes import Contents, read_contents
from apps.environments.services.builds import (
    Provider,
    reference,
    remove_build,
    remove_unused,
    request_build,
    retry_build,
)
from apps.environments.services.environments import (
    archive_environment,
    create_environment,
    create_version,
    find_environment,
    find_version,
    make_room_for,
    update_environment,
    version_numbered,
)
from apps.environments.services.working import build_due

__all__ = [
    "Contents",
    "Provider",
    "archive_environment",
    "build_due",
    "create_environment",
    "create_version",
    "find_environment",
    "find_version",
    "make_room_for",
    "read_contents",
    "reference",
    "remove_build",
    "remove_unused",
    "request_build",
    "retry_build",
    "update_environment",
    "version_numbered",
]
