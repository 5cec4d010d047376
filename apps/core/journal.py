"""The log of one piece of a worker's work, and the lease that he holds as long as he writes it down."""

import re
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from apps.core.errors import Stale

LEASE_SECONDS = 30
_RENEW_SECONDS = 1.0
_IN_ADDRESS = re.compile(r"(?<=//)[^/@\s]+@")


def later(seconds: float) -> Any:
    return Now() + timedelta(seconds=seconds)


class Journal(ABC):
    """A bounded log, written down every second, which also renews the lease. Subclasses say what of it is kept.

    `rows`: the row, as long as this worker's lease is the newest; `lost`: what is said once it is another's.
    """

    def __init__(self, rows: Any, lost: str) -> None:
        self._rows, self._lost = rows, lost
        self._written_at = 0.0

    @property
    @abstractmethod
    def text(self) -> str:
        """Return what is kept."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Add to it."""

    def masked(self, text: str) -> str:
        """Return what may stand in a row. SECURITY: the address of an index or a server may hold a password."""
        return _IN_ADDRESS.sub("***@", text.replace("\x00", "\ufffd"))

    def tell(self, data: bytes) -> None:
        """Take what a tool said. Raises: Stale when somebody else has the work."""
        if data:
            self.say(data.decode("utf-8", "replace"))
        if time.monotonic() - self._written_at < _RENEW_SECONDS:
            return
        self._written_at = time.monotonic()
        if not self._rows.all().update(log=self.text, lease_until=later(LEASE_SECONDS)):
            raise Stale(self._lost)
