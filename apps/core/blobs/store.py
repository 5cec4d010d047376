"""What every store can do. Callers go through `apps.core.blobs`; a store knows hashes and names, and asks nobody."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, ClassVar

from apps.core.errors import DomainError

SMALLEST_PART = 5 << 20  # S3's own rule: every part but the last
MOST_PARTS = 10_000


class Missing(DomainError):
    """The bytes are not in the store."""

    code = "not_found"
    status = 404
    title = "Not found"

    def __init__(self, detail: str = "The bytes are missing from the store.") -> None:
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class Blob:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """A blob that lies in the store, as the store tells it."""

    sha256: str
    size_bytes: int
    modified_at: datetime


class Store(ABC):
    """Keeps blobs by hash, and uploads in parts by name until they are whole.

    Every method that reaches another machine raises `Unready` when it does not answer, or refuses our keys.
    """

    is_local: ClassVar[bool] = False

    @abstractmethod
    def put(self, source: Path, sha256: str) -> None:
        """Keep the bytes of a file, which may be gone afterwards. They are there for good when this returns."""

    @abstractmethod
    def open(self, sha256: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        """Return the bytes from `start` up to, not including, `stop`, as a stream. Raises: Missing."""

    @abstractmethod
    def size_of(self, sha256: str) -> int | None:
        """Return the size of a blob, None when it is not there."""

    @abstractmethod
    def local_path(self, sha256: str) -> Path:
        """Return a file on this machine with these bytes, for programs that take paths. Raises: Missing."""

    @abstractmethod
    def delete(self, sha256: str) -> None:
        """Forget a blob. Absent is fine."""

    @abstractmethod
    def walk(self) -> Iterator[Found]:
        """Yield every blob."""

    @abstractmethod
    def check(self) -> None:
        """Write, read and delete something small. Raises: Unready with a sentence that says what is wrong."""

    @abstractmethod
    def begin(self, name: str) -> str:
        """Prepare an upload in parts; what is returned is given back to the calls below as `ref`."""

    @abstractmethod
    def put_part(self, name: str, ref: str, number: int, source: Path) -> None:
        """Keep one part, replacing what was sent as that part before. Raises: Missing when the upload is gone."""

    @abstractmethod
    def parts(self, name: str, ref: str) -> Mapping[int, int]:
        """Return the parts that are there: number and size. Empty when the upload is gone."""

    @abstractmethod
    def join(self, name: str, ref: str, count: int) -> Iterator[bytes]:
        """Make one of `count` parts and yield its bytes. May be repeated until `publish` or `abort`. Raises: Missing."""

    @abstractmethod
    def publish(self, name: str, sha256: str, joined: Path | None) -> None:
        """Keep what was joined as the blob of that hash. `joined`: the bytes as a file, if the caller wrote one."""

    @abstractmethod
    def abort(self, name: str, ref: str) -> None:
        """Forget an upload and its parts. Absent is fine."""

    @abstractmethod
    def leftovers(self, before: datetime) -> Iterator[str]:
        """Yield the names of uploads, and remove unfinished files, that were last written before that time."""

    def sign_part(self, name: str, ref: str, number: int, size: int, *, seconds: int) -> str | None:
        """Return an address to which anybody may put just this part for a while; None where the store cannot."""
        del name, ref, number, size, seconds
        return None

    def sign_get(self, sha256: str, filename: str, *, seconds: int) -> str | None:
        """Return an address from which anybody may fetch the bytes for a while, as a download; None: it cannot."""
        del sha256, filename, seconds
        return None
