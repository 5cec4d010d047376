"""Fetching: a worker leases one after another. Right without any hint, and when it is killed at any moment.

What was fetched is a blob under its hash before any row says so. A row says "fetching" only while somebody renews its lease.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid5

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.access.principal import SYSTEM
from apps.audit import services as audit
from apps.compute import services as compute
from apps.core import blobs, failpoints
from apps.core.blobs import Blob, Missing
from apps.core.errors import DomainError, Invalid, SealBroken, Stale, TooLarge
from apps.core.journal import LEASE_SECONDS, later
from apps.core.locks import claim_rows
from apps.credentials import services as credentials
from apps.credentials.services import Opened
from apps.sources import access, box, git, handlers, packing
from apps.sources.addresses import read_archive, read_git
from apps.sources.box import Box
from apps.sources.choices import FetchState, SourceKind
from apps.sources.downloads import download
from apps.sources.errors import FetchFailed, Unreachable
from apps.sources.models import Fetch
from apps.sources.services.journal import Journal, mine
from apps.storage import services as storage

_MOST_TRIES = 5
_CHUNK = 1 << 20
_PACKED, _PATCH = "code", "patch"


@dataclass(frozen=True, slots=True)
class _Found:
    """What a fetch brought: an archive on disk, and the commit it is of."""

    path: Path
    format: str
    commit: str = ""
    branch: str = ""


def fetch_due() -> str:
    """Fetch what is due; returns what it has to say."""
    done = 0
    while (fetch := _claim()) is not None:
        _fetch(fetch)
        done += 1
    return f"fetched {done}" if done else ""


@transaction.atomic
def _claim() -> Fetch | None:
    """Lease the first that is due. LOCKING: what another worker has locked is his."""
    rows: list[Fetch] = claim_rows(Fetch.objects.due().order_by("next_try_at", "pk"), limit=1)
    if not rows:
        return None
    fetch = rows[0]
    fetch.tries += fetch.state == FetchState.FETCHING  # it was cut off
    fetch.state = FetchState.FETCHING
    fetch.lease_epoch += 1
    changes = {"tries": fetch.tries, "state": fetch.state, "lease_epoch": fetch.lease_epoch}
    times = {"lease_until": later(LEASE_SECONDS), "started_at": Now()}
    Fetch.objects.filter(pk=fetch.pk).update(**changes, **times, log="")
    return fetch


def _fetch(fetch: Fetch) -> None:
    journal = Journal(fetch)
    try:
        _bring(fetch, journal)
    except (FetchFailed, credentials.Refused, SealBroken, Missing, TooLarge) as error:
        _fail(fetch, journal, str(error))
    except (Unreachable, DomainError) as error:
        if isinstance(error, Stale):
            return  # somebody else has it now
        _postpone(fetch, journal, str(error))
    compute.settle_held()


def _bring(fetch: Fetch, journal: Journal) -> None:
    """Fetch it, keep it, and say so. Raises: what can be wrong with it, for good or for now."""
    if fetch.tries >= _MOST_TRIES:
        msg = fetch.message or f"it was cut off {fetch.tries} times"
        raise FetchFailed(msg)
    given = _open_credential(fetch)
    journal.hide(given.secret.values())
    with box.opened(journal.tell) as made:
        found = (_clone if fetch.kind == SourceKind.GIT else _download)(fetch, made, given)
        blob = _keep(found, fetch)
    failpoints.hit("source.after_fetch_before_row")
    _end(fetch, journal, found, blob)


def _open_credential(fetch: Fetch) -> Opened:
    if not fetch.credential:
        return Opened()
    use = uuid5(fetch.pk, str(fetch.lease_epoch))
    return credentials.open_one(fetch.credential, user_id=fetch.owner_id, subject=fetch.subject, use=use)


def _clone(fetch: Fetch, made: Box, given: Opened) -> _Found:
    if fetch.patch:
        made.put(_PATCH, _chunks_of(blobs.local_path(fetch.patch)))
    patch = _PATCH if fetch.patch else ""
    wanted = git.Wanted(read_git(fetch.url), fetch.ref, fetch.subfolder, fetch.submodules, patch)
    path = made.folder / _PACKED
    with access.opened(made, given) as ways, path.open("xb") as raw:
        commit = git.bring(wanted, made, ways, raw)
    return _Found(path, "tar.gz", commit.id, fetch.branch or commit.branch)


def _download(fetch: Fetch, made: Box, given: Opened) -> _Found:
    path = made.folder / _PACKED
    with path.open("xb") as file:
        download(read_archive(fetch.url), given, file, made)
    return _Found(path, packing.check_archive(path))


def _keep(found: _Found, fetch: Fetch) -> Blob:
    limit = settings.CODE_LIMIT_BYTES
    try:
        return blobs.write(_chunks_of(found.path), limit=limit, expected_sha256=fetch.expected_sha256)
    except TooLarge as error:
        msg = f"packed it is larger than {limit >> 20} MiB"
        raise FetchFailed(msg) from error
    except Invalid as error:
        msg = "it is not the archive that was meant: its SHA-256 is another"
        raise FetchFailed(msg) from error


def _chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


@transaction.atomic
def _end(fetch: Fetch, journal: Journal, found: _Found, blob: Blob) -> None:
    """Write down what was fetched, and have the apps above do so. LOCKING: the row first, then theirs."""
    facts = {"commit": found.commit, "branch": found.branch, "format": found.format}
    kept = {"sha256": blob.sha256, "size_bytes": blob.size_bytes, "message": "", "tries": 0, "log": journal.text}
    rows = mine(fetch)
    if not rows.update(state=FetchState.READY, lease_until=None, finished_at=Now(), **facts, **kept):
        return
    storage.require_kept(blob.sha256)
    fetch.refresh_from_db()
    audit.record("fetched", fetch, by=SYSTEM, subject=fetch.subject, commit=fetch.commit, sha256=fetch.sha256)
    handlers.tell(fetch)


@transaction.atomic
def _fail(fetch: Fetch, journal: Journal, said: str) -> None:
    message = journal.masked(said)
    rows = mine(fetch)
    if rows.update(state=FetchState.FAILED, lease_until=None, finished_at=Now(), log=journal.text, message=message):
        audit.record("fetch_failed", fetch, by=SYSTEM, subject=fetch.subject, message=message)


def _postpone(fetch: Fetch, journal: Journal, said: str) -> None:
    """Try it again a little later, or give it up when that was done often enough."""
    if fetch.tries + 1 >= _MOST_TRIES:
        _fail(fetch, journal, f"{said}; it was tried {_MOST_TRIES} times")
        return
    again: dict[str, Any] = {"state": FetchState.QUEUED, "next_try_at": later(5 * 2**fetch.tries), "lease_until": None}
    mine(fetch).update(**again, message=journal.masked(said), log=journal.text, tries=F("tries") + 1)
