"""The log of one build; of a long one the middle is cut out."""

from typing import Any

from typing_extensions import override

from apps.core import journal
from apps.environments.choices import LEASED
from apps.environments.models import EnvironmentBuild

LOST = "Another worker has this build."
_HEAD, _TAIL = 100_000, 100_000  # characters of a log that are kept, of its beginning and of its end
_CUT = "\n… cut …\n"


def mine(build: EnvironmentBuild) -> Any:
    """Return the row as long as our lease is the newest."""
    return EnvironmentBuild.objects.filter(pk=build.pk, lease_epoch=build.lease_epoch, state__in=LEASED)


class Journal(journal.Journal):
    def __init__(self, build: EnvironmentBuild) -> None:
        super().__init__(mine(build), LOST)
        self._head, self._tail, self._is_cut = "", "", False

    @property
    @override
    def text(self) -> str:
        return f"{self._head}{_CUT if self._is_cut else ''}{self._tail}"

    @override
    def say(self, text: str) -> None:
        text = self.masked(text)
        room = _HEAD - len(self._head)
        self._head += text[:room]
        self._tail += text[room:]
        if len(self._tail) > _TAIL:
            self._tail, self._is_cut = self._tail[-_TAIL:], True
