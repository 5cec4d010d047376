"""A look at pickles without loading them: which names they would import. Advice for who is about to load one, no gate."""

import pickletools
import zipfile
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import IO, Any

import structlog
from picklescan.scanner import (  # type: ignore[import-untyped]  # not typed upstream
    SafetyLevel,
    scan_bytes,
)

from apps.core.errors import NotFound
from apps.models.files import Kept, open_file
from apps.models.models import FileScan

logger = structlog.get_logger(__name__)

LARGEST = 64 << 20
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".dill", ".cloudpickle", ".p")
_WORDS = {SafetyLevel.Dangerous: "dangerous", SafetyLevel.Suspicious: "unknown", SafetyLevel.Innocuous: "harmless"}
_ORDER = ("none", "clean", "unknown", "too_large", "unread", "dangerous")
_MOST_NAMES = 100
_MOST_OPERATIONS = 500_000


def scan(files: Sequence[Kept]) -> dict[str, Any]:
    """Return what is known of the pickles among `files`: a verdict for each, and the worst of all.

    A blob is looked at once; what is known of its bytes is kept. Files beyond 64 MiB, or of very many operations, are said to be unread.
    """
    pickles = [file for file in files if file.path.lower().endswith(_PICKLES)]
    safe = sum(file.path.lower().endswith(".safetensors") for file in files)
    if not pickles:
        return {"verdict": "none", "files": {}, "safetensors": safe}
    known = _known(pickles)
    found = {file.path: known.get(file.sha256) or _look(file) for file in pickles}
    _keep(pickles, found, known)
    worst = max((report["verdict"] for report in found.values()), key=_ORDER.index)
    return {"verdict": worst, "files": found, "safetensors": safe}


def _known(files: Sequence[Kept]) -> dict[str, Any]:
    rows = FileScan.objects.filter(sha256__in=[file.sha256 for file in files])
    return dict(rows.values_list("sha256", "report"))


def _keep(files: Sequence[Kept], found: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    fresh = {file.sha256: found[file.path] for file in files if file.sha256 not in known}
    rows = [FileScan(sha256=sha, report=report) for sha, report in fresh.items()]
    FileScan.objects.bulk_create(rows, ignore_conflicts=True)


def _look(file: Kept) -> dict[str, Any]:
    if file.size_bytes > LARGEST:
        return {"verdict": "too_large", "imports": []}
    suffix = f".{file.path.rpartition('.')[2].lower()}"
    try:
        with open_file(file.sha256) as opened:
            if not _is_bounded(opened):
                return {"verdict": "too_large", "imports": []}
            result = scan_bytes(opened, file.path, None if suffix == ".bin" else suffix)
    except NotFound:
        return {"verdict": "unread", "imports": []}
    except Exception as error:  # noqa: BLE001 -- whatever hostile bytes do to the scanner, the version is registered
        logger.info("scan_failed", sha256=file.sha256, error=f"{type(error).__name__}: {error}"[:200])
        return {"verdict": "unread", "imports": []}
    names = sorted({(_WORDS[one.safety], f"{one.module}.{one.name}"[:200]) for one in result.globals})[:_MOST_NAMES]
    return {"verdict": _verdict(result, names), "imports": [{"name": name, "safety": word} for word, name in names]}


def _is_bounded(opened: IO[bytes]) -> bool:
    """Read every pickle to its end, and count: the scanner keeps all operations in memory, this keeps none.

    Raises: ValueError for what is no pickle.
    """
    is_small = True
    if zipfile.is_zipfile(opened):
        with zipfile.ZipFile(opened) as archive:
            inside = [one for one in archive.infolist() if one.filename.lower().endswith(_PICKLES)]
            if any(one.file_size > LARGEST for one in inside):
                return False
            for one in inside:
                with archive.open(one) as member:
                    is_small = is_small and _counts(member)
    else:
        opened.seek(0)
        is_small = _counts(opened)
    opened.seek(0)
    return is_small


def _counts(stream: IO[bytes]) -> bool:
    return sum(1 for _ in islice(pickletools.genops(stream), _MOST_OPERATIONS)) < _MOST_OPERATIONS


def _verdict(result: Any, names: Sequence[tuple[str, str]]) -> str:
    words = {word for word, _ in names}
    if result.issues_count or "dangerous" in words:
        return "dangerous"
    if result.scan_err or not result.scanned_files:
        return "unread"
    return "unknown" if "unknown" in words else "clean"
