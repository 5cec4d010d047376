"""The front door of tracking: every write, and the reads that are more than a queryset."""

from apps.tracking.batches import Batch
from apps.tracking.curves import Curve, read_curves
from apps.tracking.ingest import Outcome
from apps.tracking.listing import Entry, Folder, list_folder
from apps.tracking.media import content_type_of
from apps.tracking.paths import clean_path as artifact_path
from apps.tracking.previews import Preview, read_preview
from apps.tracking.services.artifacts import artifact_link, delete_artifact, find_artifact, save_artifact
from apps.tracking.services.projects import (
    DEFAULT_PROJECT,
    archive_project,
    create_project,
    find_project,
    make_room_for,
    update_project,
)
from apps.tracking.services.runs import archive_run, create_run, finish_run, log_batch, open_run
from apps.tracking.summaries import Summary, latest_metrics, wire
from apps.tracking.tickets import link as content_link

__all__ = [
    "DEFAULT_PROJECT",
    "Batch",
    "Curve",
    "Entry",
    "Folder",
    "Outcome",
    "Preview",
    "Summary",
    "archive_project",
    "archive_run",
    "artifact_link",
    "artifact_path",
    "content_link",
    "content_type_of",
    "create_project",
    "create_run",
    "delete_artifact",
    "find_artifact",
    "find_project",
    "finish_run",
    "latest_metrics",
    "list_folder",
    "log_batch",
    "make_room_for",
    "open_run",
    "read_curves",
    "read_preview",
    "save_artifact",
    "update_project",
    "wire",
]
