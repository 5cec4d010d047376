"""Whether the store can be used, asked at most every few seconds: for probes and for the operators' pages."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as WaitedTooLongError

from django.conf import settings

from apps.core import blobs
from apps.core.errors import Unready

_BELIEVED_SECONDS = 15.0
_PATIENCE_SECONDS = 2.0
_asking = ThreadPoolExecutor(1, thread_name_prefix="store-check")
_lock = threading.Lock()
_known: dict[tuple[str, ...], tuple[float, str]] = {}


def trouble() -> str:
    """Return what is wrong with the store in one sentence, "" when it takes, gives and deletes."""
    key = (settings.ARTIFACT_STORE, str(settings.BLOB_ROOT), settings.S3_ENDPOINT, settings.S3_SECRET_KEY)
    known = _known.get(key)
    if known is not None and known[0] > time.monotonic():
        return known[1]
    with _lock:  # one question at a time: who comes meanwhile waits for the same answer
        known = _known.get(key)
        if known is None or known[0] <= time.monotonic():
            _known.clear()
            _known[key] = known = (time.monotonic() + _BELIEVED_SECONDS, _ask())
    return known[1]


def _ask() -> str:
    try:
        _asking.submit(_check).result(_PATIENCE_SECONDS)
    except Unready as error:
        return error.detail
    except WaitedTooLongError:
        return "The store of artifacts does not answer."
    return ""


def _check() -> None:
    blobs.store().check()
