"""The front door of tracking: every write, and the reads that are more than a queryset."""

from apps.tracking.batches import Batch
from apps.tracking.curves import MOST_CURVES, Curve, read_curves, read_curves_of
from apps.tracking.frames import Media, Table, list_media, read_table
from apps.tracking.ingest import Outcome
from apps.tracking.listing import Entry, Folder, list_folder
from apps.tracking.media import content_type_of
from apps.tracking.paths import clean_path as artifact_path
from apps.tracking.previews import Preview, read_preview
from apps.tracking.services.artifacts import (
    artifact_link,
    delete_artifact,
    delete_files,
    direct_link,
    find_artifact,
    pin_artifact,
    save_artifact,
)
from apps.tracking.services.inputs import DatasetInput, link_models, log_datasets
from apps.tracking.services.logged_models import (
    Measured,
    archive_logged_model,
    create_logged_model,
    delete_model_tag,
    folder_of,
    measure_model,
    update_logged_model,
)
from apps.tracking.services.projects import (
    DEFAULT_PROJECT,
    archive_project,
    archive_project_with_runs,
    create_project,
    delete_project_tag,
    find_project,
    make_room_for,
    named_project,
    restore_project,
    set_project_tags,
    update_project,
)
from apps.tracking.services.retention import LONGEST_DAYS, end_retention, rule_of, set_retention
from apps.tracking.services.runs import (
    archive_run,
    create_run,
    delete_tag,
    finish_run,
    log_batch,
    open_run,
    require_to_create,
    restore_run,
    update_run,
)
from apps.tracking.services.saved_views import delete_view, save_view, update_view
from apps.tracking.services.uploads import (
    Link,
    abort_upload,
    begin_unmeasured_upload,
    begin_upload,
    complete_upload,
    part_links,
    received_parts,
)
from apps.tracking.summaries import Summary, latest_metrics, wire
from apps.tracking.tensorboard import EventCurves, has_events, read_event_curves
from apps.tracking.tickets import link as content_link

__all__ = [
    "DEFAULT_PROJECT",
    "LONGEST_DAYS",
    "MOST_CURVES",
    "Batch",
    "Curve",
    "DatasetInput",
    "Entry",
    "EventCurves",
    "Folder",
    "Link",
    "Measured",
    "Media",
    "Outcome",
    "Preview",
    "Summary",
    "Table",
    "abort_upload",
    "archive_logged_model",
    "archive_project",
    "archive_project_with_runs",
    "archive_run",
    "artifact_link",
    "artifact_path",
    "begin_unmeasured_upload",
    "begin_upload",
    "complete_upload",
    "content_link",
    "content_type_of",
    "create_logged_model",
    "create_project",
    "create_run",
    "delete_artifact",
    "delete_files",
    "delete_model_tag",
    "delete_project_tag",
    "delete_tag",
    "delete_view",
    "direct_link",
    "end_retention",
    "find_artifact",
    "find_project",
    "finish_run",
    "folder_of",
    "has_events",
    "latest_metrics",
    "link_models",
    "list_folder",
    "list_media",
    "log_batch",
    "log_datasets",
    "make_room_for",
    "measure_model",
    "named_project",
    "open_run",
    "part_links",
    "pin_artifact",
    "read_curves",
    "read_curves_of",
    "read_event_curves",
    "read_preview",
    "read_table",
    "received_parts",
    "require_to_create",
    "restore_project",
    "restore_run",
    "rule_of",
    "save_artifact",
    "save_view",
    "set_project_tags",
    "set_retention",
    "update_logged_model",
    "update_project",
    "update_run",
    "update_view",
    "wire",
]
