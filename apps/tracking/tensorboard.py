"""The scalars of the event files among a run's artifacts, as curves like those of its metrics."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from math import isnan

from apps.core import blobs
from apps.tracking import tfevents
from apps.tracking.curves import Curve, Point
from apps.tracking.models import Artifact, Run

MOST_FILES = 20
_MOST_BYTES = 128 << 20  # of all of them
_MOST_POINTS = 1000  # of one curve
_MOST_ROWS = 40_000  # of one file: with many tags each gets fewer points
_FEWEST_POINTS = 20
_REMEMBERED = 16  # files, by hash: who looks at a page looks again


@dataclass(frozen=True, slots=True)
class EventCurves:
    """`problems` are pairs of a path and what was wrong; `left_out` counts files beyond the first 20."""

    curves: Sequence[Curve]
    problems: Sequence[tuple[str, str]]
    left_out: int


def has_events(run: Run) -> bool:
    """Say whether there are event files among the artifacts."""
    return Artifact.objects.filter(run=run, path__contains=tfevents.NAME).exists()


def read_event_curves(run: Run) -> EventCurves:
    """Return the curves of all event files; a folder is what TensorBoard calls a run, its path stands before the tag.

    The caller has judged that the run may be viewed. What cannot be read is said, never raised.
    """
    rows = Artifact.objects.filter(run=run, path__contains=tfevents.NAME).order_by("path")
    files = list(rows[:MOST_FILES])
    found: dict[str, list[Curve]] = {}
    problems = []
    left = _MOST_BYTES
    for file in files:
        left -= min(file.size_bytes, tfevents.MOST_BYTES)
        curves, problem = _read(file) if left >= 0 else ((), "It was not read: together the files are too large.")
        folder = file.path.rpartition("/")[0]
        for curve in curves:
            found.setdefault(f"{folder}/{curve.key}" if folder else curve.key, []).append(curve)
        if problem:
            problems.append((file.path, problem))
    joined = [_joined(key, parts) for key, parts in sorted(found.items())]
    return EventCurves(joined, problems, rows.count() - len(files))


def _read(file: Artifact) -> tuple[Sequence[Curve], str]:
    try:
        return _scalars(file.sha256, file.size_bytes)
    except blobs.Missing:
        return (), "Its bytes are missing from the store."


@lru_cache(maxsize=_REMEMBERED)
def _scalars(sha256: str, size: int) -> tuple[Sequence[Curve], str]:
    with closing(blobs.open_blob(sha256, 0, min(size, tfevents.MOST_BYTES))) as stream:
        events = tfevents.read(stream.read)
    most = max(_FEWEST_POINTS, min(_MOST_POINTS, _MOST_ROWS // max(1, len(events.tracks))))
    return [_curve(tag, track, most) for tag, track in events.tracks.items()], events.problem


def _curve(tag: str, track: tfevents.Track, most: int) -> Curve:
    rows = sorted(zip(track.steps, track.times, track.values, strict=True), key=lambda row: row[:2])
    points = [(step, time, value, *_known(value)) for step, time, value in rows]
    return Curve(tag, _thinned(points, most), len(rows), downsampled=len(rows) > most)


def _joined(key: str, parts: Sequence[Curve]) -> Curve:
    """Several files of one folder are one curve: a program that was started again writes another file."""
    points = sorted((point for part in parts for point in part.points), key=lambda point: point[:2])
    is_cut = len(points) > _MOST_POINTS or any(part.downsampled for part in parts)
    return Curve(key, _thinned(points, _MOST_POINTS), sum(part.count for part in parts), downsampled=is_cut)


def _thinned(points: Sequence[Point], most: int) -> list[Point]:
    """Cut a curve into equal parts, of which each is its last point with the extremes of all, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    found = []
    for part in range(most):
        some = points[len(points) * part // most : len(points) * (part + 1) // most]
        lows = [point[3] for point in some if point[3] is not None]
        highs = [point[4] for point in some if point[4] is not None]
        found.append((*some[-1][:3], min(lows, default=None), max(highs, default=None)))
    return found


def _known(value: float) -> tuple[float | None, float | None]:
    return (None, None) if isnan(value) else (value, value)
