"""Content types: what a browser may show of what users upload, and as what."""

import mimetypes

_IMAGES = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/x-icon", "image/svg+xml"}
)
_AS_TEXT = frozenset(
    {"application/x-yaml", "application/yaml", "application/toml", "application/xml", "application/x-sh"}
)
_KNOWN = {
    ".md": "text/markdown",
    ".yaml": "text/plain",
    ".yml": "text/plain",
    ".toml": "text/plain",
    ".log": "text/plain",
    ".jsonl": "text/plain",
    ".ipynb": "application/json",
    ".parquet": "application/octet-stream",
}
LONGEST = 120


def content_type_of(path: str, given: str = "") -> str:
    """Return what an upload is: what its sender said, or else what its name says."""
    base = given.partition(";")[0].strip().lower()
    is_plain = base.isascii() and base.isprintable() and base.count("/") == 1 and len(base) <= LONGEST
    if is_plain and base != "application/octet-stream" and " " not in base:
        return base
    name = path.rpartition("/")[2].lower()
    suffix = f".{name.rpartition('.')[2]}"
    return _KNOWN.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def kind_of(content_type: str) -> str:
    """Return how a portal shows it: text, csv, json, image or other."""
    if content_type in _IMAGES:
        return "image"
    if content_type == "text/csv":
        return "csv"
    if content_type == "application/json":
        return "json"
    return "text" if content_type.startswith("text/") or content_type in _AS_TEXT else "other"


def served_as(content_type: str) -> tuple[str, bool]:
    """Return the Content-Type to serve under, and whether a browser may show it in place.

    SECURITY: scripts and everything unknown are never named as what they are; HTML is, and is sandboxed.
    """
    kind = kind_of(content_type)
    if kind == "image":
        return content_type, True
    if kind in {"csv", "json"} or content_type == "text/html":
        return f"{content_type}; charset=utf-8", True
    if kind == "text":
        return "text/plain; charset=utf-8", True
    return "application/octet-stream", False
