"""The front door of tracking: every write, and the reads that are more than a queryset."""

from apps.tracking.batches import Batch
from apps.tracking.curves import Curve, read_curves
from apps.tracking.ingest import Outcome
from apps.tracking.listing import Entry, Folder, list_folder
from apps.tracking.previews import Preview, read_preview
from apps.tracking.services.artifacts import (
    artifact_link,
    delete_artifact,
    direct_link,
    find_artifact,
    pin_artifact,
    save_artifact,
)
from apps.tracking.services.projects import (
    DEFAULT_PROJECT,
    archive_project,
    create_project,
    find_project,
    make_room_for,
    update_project,
)
from apps.tracking.services.retention import LONGEST_DAYS, end_retention, rule_of, set_retention
from apps.tracking.services.runs import archive_run, create_run, finish_run, log_batch, open_run
from apps.tracking.services.uploads import (
    Link,
    abort_upload,
    begin_unmeasured_upload,
    begin_upload,
    complete_upload,
    part_links,
    received_parts,
)
from apps.tracking.summaries import Summary, latest_metrics

__all__ = [
    "DEFAULT_PROJECT",
    "LONGEST_DAYS",
    "Batch",
    "Curve",
    "Entry",
    "Folder",
    "Link",
    "Outcome",
    "Preview",
    "Summary",
    "abort_upload",
    "archive_project",
    "archive_run",
    "artifact_link",
    "begin_unmeasured_upload",
    "begin_upload",
    "complete_upload",
    "create_project",
    "create_run",
    "delete_artifact",
    "direct_link",
    "end_retention",
    "find_artifact",
    "find_project",
    "finish_run",
    "latest_metrics",
    "list_folder",
    "log_batch",
    "make_room_for",
    "open_run",
    "part_links",
    "pin_artifact",
    "read_curves",
    "read_preview",
    "received_parts",
    "rule_of",
    "save_artifact",
    "set_retention",
    "update_project",
]
