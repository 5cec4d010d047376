"""The log of one build, and the lease that its worker holds as long as it writes it down."""

import re
import time
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from apps.core.errors import Stale
from apps.environments.choices import LEASED
from apps.environments.models import EnvironmentBuild

LEASE_SECONDS = 30
LOST = "Another worker has this build."
_RENEW_SECONDS = 1.0
_HEAD, _TAIL = 100_000, 100_000  # characters of a log that are kept, of its beginning and of its end
_CUT = "\n… cut …\n"
_IN_ADDRESS = re.compile(r"(?<=//)[^/@\s]+@")


def mine(build: EnvironmentBuild) -> Any:
    """Return the row as long as our lease is the newest."""
    return EnvironmentBuild.objects.filter(pk=build.pk, lease_epoch=build.lease_epoch, state__in=LEASED)


class Journal:
    """The log of one build, written down every second, which also renews the lease. Bounded: its middle is cut out."""

    def __init__(self, build: EnvironmentBuild) -> None:
        self._build = build
        self._head, self._tail, self._is_cut = "", "", False
        self._written_at = 0.0

    @property
    def text(self) -> str:
        return f"{self._head}{_CUT if self._is_cut else ''}{self._tail}"

    def say(self, text: str) -> None:
        # SECURITY: an index's address may hold a password.
        text = _IN_ADDRESS.sub("***@", text.replace("\x00", "\ufffd"))
        room = _HEAD - len(self._head)
        self._head += text[:room]
        self._tail += text[room:]
        if len(self._tail) > _TAIL:
            self._tail, self._is_cut = self._tail[-_TAIL:], True

    def tell(self, data: bytes) -> None:
        """Take what a tool said. Raises: Stale when somebody else has the build."""
        if data:
            self.say(data.decode("utf-8", "replace"))
        if time.monotonic() - self._written_at < _RENEW_SECONDS:
            return
        self._written_at = time.monotonic()
        if not mine(self._build).update(log=self.text, lease_until=later(LEASE_SECONDS)):
            raise Stale(LOST)


def later(seconds: float) -> Any:
    return Now() + timedelta(seconds=seconds)
