"""Which directories can be asked for everybody. They register themselves; a sync asks those that are switched on."""

from collections.abc import Callable

from apps.accounts.choices import IdentitySource
from apps.directory.person import Person

Reader = Callable[[], list[Person] | None]
_readers: dict[IdentitySource, Reader] = {}


def register_reader(source: IdentitySource, read: Reader) -> None:
    """`read` returns everybody, or None while the directory is switched off. It raises Unready, never returns a part."""
    _readers[source] = read


def read_all() -> dict[IdentitySource, list[Person]]:
    """Ask every directory that is switched on. Raises: Unready."""
    answers = {source: read() for source, read in _readers.items()}
    return {source: people for source, people in answers.items() if people is not None}
