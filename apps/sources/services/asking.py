"""Asking for code: whether it may be asked for is judged, and a fetch is queued."""

from collections.abc import Mapping
from typing import Any

from django.db.models.functions import Now

from apps.access import policy
from apps.compute.handlers import Prepared
from apps.core.errors import Invalid
from apps.core.locks import lock_row
from apps.credentials import services as credentials
from apps.credentials.choices import Kind
from apps.credentials.models import Credential
from apps.sources.addresses import read_archive, read_git
from apps.sources.choices import FetchState, SourceKind
from apps.sources.models import Fetch
from apps.sources.wanted import Wanted

ALIAS = "CODE"  # what the credential is called while it is used; no job sees it
_KINDS: Mapping[str, Kind] = {"https": Kind.GIT_HTTPS, "ssh": Kind.GIT_SSH, "s3": Kind.S3}


class Provider:
    """What compute asks: `apps/compute/handlers.py:Sources`. `wanted` is what `reference` returned."""

    def prepare(self, wanted: Mapping[str, str], *, anew: bool = False) -> Prepared:
        fetch = Fetch.objects.get(pk=wanted["fetch"])
        if fetch.state == FetchState.FAILED and anew:
            _queue_again(fetch)
        if fetch.state == FetchState.READY:
            return Prepared(key=fetch.sha256)
        if fetch.state == FetchState.FAILED:
            return Prepared(said=f"its code could not be fetched: {fetch.message}", has_failed=True)
        so_far = f" ({fetch.message})" if fetch.message else ""
        return Prepared(said=f"waiting: its code is being fetched from {wanted['name']}{so_far}")

    def archive(self, wanted: Mapping[str, str]) -> dict[str, Any]:
        return archive_of(Fetch.objects.get(pk=wanted["fetch"]))


def archive_of(fetch: Fetch) -> dict[str, Any]:
    """Return what was fetched, as work keeps of its code."""
    return {"sha256": fetch.sha256, "format": fetch.format, "size_bytes": fetch.size_bytes}


def reference(fetch: Fetch) -> dict[str, str]:
    """Return what a workload keeps of its source."""
    address = read_git(fetch.url) if fetch.kind == SourceKind.GIT else read_archive(fetch.url)
    return {"fetch": str(fetch.pk), "name": address.place}


def request_fetch(wanted: Wanted, *, by: Any, subject: str) -> Fetch:
    """Queue a fetch, in the transaction of the work that waits for it.

    Judges that `by` may use the credential, and that it is for that host; judged again when it is used.
    Raises: NotAllowed, Invalid.
    """
    policy.require_active(by, "code:create")
    fetch: Fetch = Fetch.objects.create(
        owner=by,
        subject=subject,
        kind=wanted.kind,
        url=wanted.address.url,
        ref=wanted.ref,
        branch=wanted.branch,
        subfolder=wanted.subfolder,
        submodules=wanted.submodules,
        patch=wanted.patch,
        expected_sha256=wanted.sha256,
        credential=_credential(wanted, by),
    )
    return fetch


def find_again(fetch: Fetch) -> Fetch | None:
    """Return the fetch of other work for a copy of it, unless it has failed.

    LOCKING: its end comes before the copy or after it, so that the copy is told of it either way.
    """
    found: Fetch = lock_row(Fetch.objects.filter(pk=fetch.pk))
    return None if found.state == FetchState.FAILED else found


def _credential(wanted: Wanted, by: Any) -> dict[str, str]:
    address = wanted.address
    kind = _KINDS.get(address.scheme)
    if not wanted.credential:
        if address.scheme in {"ssh", "s3"}:
            said = f"{address.scheme}:// needs a credential of the kind {_KINDS[address.scheme].label}."
            raise Invalid(errors={wanted.place: [said]})
        return {}
    try:
        entry = credentials.require_usable([{"name": wanted.credential, "as": ALIAS}], by=by)[0]
    except Invalid as error:
        raise Invalid(errors={wanted.place: [text for texts in error.errors.values() for text in texts]}) from error
    if entry["kind"] != kind:
        said = f"For {address.scheme}:// it has to be of the kind {kind.label}." if kind else "hdfs:// takes none."
        raise Invalid(errors={wanted.place: [said]})
    host = Credential.objects.values_list("public__host", flat=True).get(pk=entry["id"])
    if address.scheme != "s3" and not address.is_at(host):
        raise Invalid(errors={wanted.place: [f"It is for {host}, not for {address.place}."]})
    return entry


def _queue_again(fetch: Fetch) -> None:
    again: dict[str, Any] = {"message": "", "tries": 0, "next_try_at": Now(), "asked_at": Now()}
    rows = Fetch.objects.filter(pk=fetch.pk, state=FetchState.FAILED)
    rows.update(state=FetchState.QUEUED, **again)
    fetch.refresh_from_db()
