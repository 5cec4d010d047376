"""Pictures and tables logged by step: files among a run's artifacts, whose names say of what and when.

MLflow's client names a picture `images/<key>+step+<n>+timestamp+<ms>+<uuid>.png` (of old with `%` between) and keeps a
small copy beside it; Fathom's names tables `tables/…` in the same way. A table of MLflow's has no step: a tag names it.
"""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from apps.core import blobs
from apps.core.errors import Invalid
from apps.tracking import media
from apps.tracking.models import Artifact, Run, Tag
from apps.tracking.paths import clean_path

LOGGED = "mlflow.loggedArtifacts"
MOST_FRAMES = 5_000  # of one run; what was logged beyond that is in the list of its files
MOST_KEYS = 60
LARGEST_TABLE = 1 << 20
MOST_ROWS, MOST_COLUMNS = 200, 50
_LONGEST_CELL = 400
_SLASHES = str.maketrans("~#", "//")  # what clients write for a slash in a key, now and of old
_FOLDERS = {"images": "image", "tables": "table"}
_NAME = re.compile(
    r"(?P<folder>images|tables)/(?P<key>[^/]+?)(?P<by>[%+])step(?P=by)(?P<step>-?\d{1,18})(?P=by)timestamp(?P=by)"
    r"(?P<time>\d{1,18})(?P=by)[0-9A-Za-z-]{1,60}?(?P<small>(?P=by)compressed)?\.(?P<suffix>[a-z]{3,5})",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture or table of a key. `path` is the file at full size, `small` what a page shows of it."""

    step: int
    time: int
    path: str
    small: str


@dataclass(slots=True)
class Media:
    """All frames of a key in the order of their steps; `kind` is image or table. A table of MLflow's has no steps."""

    kind: str
    key: str
    frames: list[Frame] = field(default_factory=list)
    has_steps: bool = True

    def at(self, step: int | None) -> Frame:
        """Return the last frame that was logged up to a step, or the first; without a step the last of all."""
        upto = [frame for frame in self.frames if step is None or frame.step <= step]
        return upto[-1] if upto else self.frames[0]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table: words, or a picture among the run's artifacts."""

    text: str
    picture: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`problem` says why there is nothing, or less than all, to be shown."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Cell]] = ()
    problem: str = ""


def list_media(run: Run) -> list[Media]:
    """Return what was logged by step, pictures first, by key. Two queries. The caller has judged that the run may be viewed."""
    rows = Artifact.objects.filter(run=run)
    named = (rows.below("images") | rows.below("tables")).order_by("path")
    found: dict[tuple[str, str], Media] = {}
    matches = [
        match for path in named.values_list("path", flat=True)[: 2 * MOST_FRAMES] if (match := _NAME.fullmatch(path))
    ]
    small = {_stem(match): match[0] for match in matches if match["small"]}
    for match in matches:
        if match["small"] or not _shows(match):
            continue
        kind, key = _FOLDERS[match["folder"]], match["key"].translate(_SLASHES)
        frame = Frame(int(match["step"]), int(match["time"]), match[0], small.get(_stem(match), match[0]))
        found.setdefault((kind, key), Media(kind, key)).frames.append(frame)
    for one in found.values():
        one.frames.sort(key=lambda frame: (frame.step, frame.time, frame.path))
    logged = [Media("table", path, [Frame(0, 0, path, path)], has_steps=False) for path in _logged_tables(run)]
    return [*(found[name] for name in sorted(found)), *logged][:MOST_KEYS]


def read_table(run: Run, path: str) -> Table:
    """Read a table as its rows: JSON of columns and data, or a list of records. What is none is said, never raised.

    The caller has judged that the run may be viewed.
    """
    artifact = Artifact.objects.filter(run=run, path=path).first()
    if artifact is None:
        return Table(problem="The file is gone.")
    if artifact.size_bytes > LARGEST_TABLE:
        return Table(problem="It is too large to be shown. Download it.")
    try:
        with closing(blobs.open_blob(artifact.sha256, 0, artifact.size_bytes)) as file:
            document = json.loads(b"".join(iter(lambda: file.read(LARGEST_TABLE), b"")))
    except blobs.Missing:
        return Table(problem="Its bytes are missing from the store.")
    except (ValueError, RecursionError):
        return Table(problem="It is no table.")
    return _table(document)


def _stem(match: "re.Match[str]") -> str:
    """Return what a file and its small copy have in common."""
    return match[0].rpartition(".")[0].removesuffix(match["small"] or "")


def _shows(match: "re.Match[str]") -> bool:
    if match["folder"] == "tables":
        return match["suffix"] == "json"
    return media.kind_of(media.content_type_of(match[0])) == "image"


def _logged_tables(run: Run) -> list[str]:
    """Return the tables that MLflow's client says it has logged, as far as they are there."""
    said = Tag.objects.filter(run=run, key=LOGGED).values_list("value", flat=True).first()
    try:
        listed = json.loads(said or "[]")
    except (ValueError, RecursionError):
        return []
    tables = [
        one
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, dict) and one.get("type") == "table"
    ]
    paths = [one["path"] for one in tables[:MOST_KEYS] if isinstance(one.get("path"), str)]
    clean = [path for path in dict.fromkeys(paths) if path.endswith(".json") and _is_path(path)]
    there = set(Artifact.objects.filter(run=run, path__in=clean).values_list("path", flat=True)) if clean else set()
    return [path for path in clean if path in there]


def _is_path(text: str) -> bool:
    try:
        return clean_path(text) == text
    except Invalid:
        return False


def _table(document: Any) -> Table:
    if (
        isinstance(document, dict)
        and isinstance(document.get("columns"), list)
        and isinstance(document.get("data"), list)
    ):
        columns, data = document["columns"], document["data"]
    elif isinstance(document, list) and all(isinstance(row, dict) for row in document):
        columns = list(dict.fromkeys(name for row in document[:MOST_ROWS] for name in row))
        data = [[row.get(name) for name in columns] for row in document]
    else:
        return Table(problem="It is no table.")
    rows = [[_cell(value) for value in row[:MOST_COLUMNS]] for row in data[:MOST_ROWS] if isinstance(row, list)]
    cut = len(data) > MOST_ROWS or len(columns) > MOST_COLUMNS
    said = f"{len(rows)} of {len(data)} rows are shown." if cut else ""
    return Table([_words(name) for name in columns[:MOST_COLUMNS]], rows, said)


def _cell(value: Any) -> Cell:
    if isinstance(value, dict) and value.get("type") == "image":
        path = value.get("compressed_filepath") or value.get("filepath")
        if isinstance(path, str) and _is_path(path):
            return Cell(path, path)
    if isinstance(value, (dict, list)):
        return Cell(_words(json.dumps(value, ensure_ascii=False)))
    return Cell("" if value is None else _words(value))


def _words(value: Any) -> str:
    """Write a value as text that can be encoded: JSON may hold half a surrogate pair."""
    return str(value)[:_LONGEST_CELL].encode("utf-8", "replace").decode()
