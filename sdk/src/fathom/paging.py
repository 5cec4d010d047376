"""Lists that arrive in pages: iterate over all of it, or take a page at a time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

from fathom.transport import Transport

PAGE_SIZE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page. `next_query` asks for the following one; None on the last."""

    results: list[T]
    next_query: Mapping[str, Any] | None


class Listing(Generic[T]):
    """A list on the platform. Nothing is requested before it is iterated over; pages are fetched as they are needed."""

    def __init__(
        self, transport: Transport, path: str, read: Callable[[Any], T], query: Mapping[str, Any] | None = None
    ) -> None:
        self._transport = transport
        self._path = path
        self._read = read
        self._query = query or {}

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page.results

    def first(self, count: int) -> list[T]:
        """At most `count` elements, without asking for more than that."""
        limit = min(count, int(self._query.get("limit") or PAGE_SIZE))
        narrow = Listing(self._transport, self._path, self._read, {**self._query, "limit": limit})
        return list(islice(narrow, count))

    def pages(self) -> Iterator[Page[T]]:
        query: Mapping[str, Any] | None = {"limit": PAGE_SIZE, **self._query}
        while query is not None:
            page = self._fetch(query)
            yield page
            query = page.next_query

    def _fetch(self, query: Mapping[str, Any]) -> Page[T]:
        body = self._transport.request("GET", self._path, query=query).json()
        if isinstance(body, list):  # a short list that the platform does not page
            return Page([self._read(item) for item in body], None)
        return Page([self._read(item) for item in body["results"]], _query_of(body.get("next")))


def _query_of(link: str | None) -> Mapping[str, Any] | None:
    """Only the query of the next page's link: its host may be one that this client cannot reach (a tunnel, a proxy)."""
    return parse_qs(urlsplit(link).query) if link else None
