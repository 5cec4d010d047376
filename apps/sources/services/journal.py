"""The log of one fetch: its end, without what is secret."""

from collections.abc import Collection
from typing import Any

from typing_extensions import override

from apps.core import journal
from apps.sources.choices import FetchState
from apps.sources.models import Fetch

_LOST = "Another worker has this fetch."
_MOST = 20_000  # characters of a log that are kept


def mine(fetch: Fetch) -> Any:
    """Return the row as long as our lease is the newest."""
    return Fetch.objects.filter(pk=fetch.pk, lease_epoch=fetch.lease_epoch, state=FetchState.FETCHING)


class Journal(journal.Journal):
    def __init__(self, fetch: Fetch) -> None:
        super().__init__(mine(fetch), _LOST)
        self._secrets: Collection[str] = ()
        self._text = ""

    @property
    @override
    def text(self) -> str:
        return self._text

    @override
    def say(self, text: str) -> None:
        self._text = self.masked(self._text + text)[-_MOST:]

    def hide(self, secrets: Collection[bytes]) -> None:
        """Have secrets masked, should a server send them back."""
        found = {line for secret in secrets for line in secret.decode("utf-8", "replace").splitlines()}
        self._secrets = sorted((line for line in found if line.strip()), key=len, reverse=True)

    @override
    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return super().masked(text)
