"""The front door of sources: what code may come from, and its fetching."""

from apps.sources.services.asking import Provider, find_again, reference, request_fetch
from apps.sources.services.fetching import fetch_due
from apps.sources.wanted import Wanted, read_wanted

__all__ = ["Provider", "Wanted", "fetch_due", "find_again", "read_wanted", "reference", "request_fetch"]
