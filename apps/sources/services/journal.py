"""The log of one fetch, and the lease that its worker holds as long as it writes it down."""

import re
import time
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from apps.core.errors import Stale
from apps.sources.choices import FetchState
from apps.sources.models import Fetch

LEASE_SECONDS = 30
_LOST = "Another worker has this fetch."
_RENEW_SECONDS = 1.0
_MOST = 20_000  # characters of a log that are kept, its end
_IN_ADDRESS = re.compile(r"(?<=//)[^/@\s]+@")


def mine(fetch: Fetch) -> Any:
    """Return the row as long as our lease is the newest."""
    return Fetch.objects.filter(pk=fetch.pk, lease_epoch=fetch.lease_epoch, state=FetchState.FETCHING)


def later(seconds: float) -> Any:
    return Now() + timedelta(seconds=seconds)


class Journal:
    """The log of one fetch, written down every second, which also renews the lease."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._secrets: Collection[str] = ()
        self._written_at = 0.0
        self.text = ""

    def hide(self, secrets: Collection[bytes]) -> None:
        """Have secrets masked, should a server send them back."""
        found = {line for secret in secrets for line in secret.decode("utf-8", "replace").splitlines()}
        self._secrets = sorted((line for line in found if line.strip()), key=len, reverse=True)

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _IN_ADDRESS.sub("***@", text.replace("\x00", "\ufffd"))

    def say(self, text: str) -> None:
        self.text = self.masked(self.text + text)[-_MOST:]

    def tell(self, data: bytes) -> None:
        """Take what a tool complained about. Raises: Stale when somebody else has the fetch."""
        if data:
            self.say(data.decode("utf-8", "replace"))
        if time.monotonic() - self._written_at < _RENEW_SECONDS:
            return
        self._written_at = time.monotonic()
        if not mine(self._fetch).update(log=self.text, lease_until=later(LEASE_SECONDS)):
            raise Stale(_LOST)
