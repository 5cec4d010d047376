"""The artifacts of a run as folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.postgres.aggregates import BoolAnd
from django.db.models import BooleanField, Count, Func, Max, QuerySet, Sum, TextField, Value
from django.db.models.functions import Collate, StrIndex, Substr

from apps.tracking.models import Artifact, Run

MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a folder with the sum of the sizes below it."""

    path: str
    is_dir: bool
    size_bytes: int
    sha256: str | None
    content_type: str | None
    created_at: datetime
    files: int
    is_pinned: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder's entries by name; `next_name` is where to go on, None at the end."""

    path: str
    entries: Sequence[Entry]
    next_name: str | None


def list_folder(run: Run, path: str = "", *, after: str = "", limit: int = MOST_ENTRIES) -> Folder:
    """Return what lies directly in a folder, in one query. The caller has judged that the run may be viewed."""
    rows = _children(Artifact.objects.filter(run=run).below(path), len(path) + 1 if path else 0)
    if after:
        rows = rows.filter(name__gt=after)
    found = list(rows[: limit + 1])
    entries = [_entry(path, row) for row in found[:limit]]
    return Folder(path, entries, entries[-1].name if len(found) > limit else None)


def entry_of(artifact: Artifact) -> Entry:
    """Return a file as its folder shows it."""
    return Entry(
        path=artifact.path,
        is_dir=False,
        size_bytes=artifact.size_bytes,
        sha256=artifact.sha256,
        content_type=artifact.content_type,
        created_at=artifact.created_at,
        files=1,
        is_pinned=artifact.is_pinned,
    )


def _children(files: QuerySet[Artifact], skipped: int) -> Any:
    """Group files by the next part of their path; compared by bytes, whatever the database's language."""
    rest = Substr("path", skipped + 1)
    name = Func(rest, Value("/"), Value(1), function="split_part", output_field=TextField())
    is_dir = Func(
        StrIndex(rest, Value("/")),
        Value(0),
        arg_joiner=" > ",
        template="(%(expressions)s)",
        output_field=BooleanField(),
    )
    named = files.annotate(name=Collate(name, "C"), is_dir=is_dir).values("name", "is_dir")
    return named.annotate(
        size=Sum("size_bytes"),
        newest=Max("created_at"),
        files=Count("pk"),
        sha=Max("sha256"),
        kind=Max("content_type"),
        pinned=BoolAnd("is_pinned"),
    ).order_by("name", "is_dir")


def _entry(folder: str, row: Any) -> Entry:
    path = f"{folder}/{row['name']}" if folder else row["name"]
    is_dir = row["is_dir"]
    return Entry(
        path=path,
        is_dir=is_dir,
        size_bytes=int(row["size"]),
        sha256=None if is_dir else row["sha"],
        content_type=None if is_dir else row["kind"],
        created_at=row["newest"],
        files=row["files"],
        is_pinned=row["pinned"],
    )
