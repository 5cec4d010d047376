"""The forms in which a secret may show up in a log: as it is, quoted, or encoded."""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

SHORTEST = 6  # shorter forms turn up by chance
SHORTEST_LINE = 16  # of a secret of several lines, such as a private key


def as_bytes(value: str | bytes) -> bytes:
    """Return a secret as it is written into its file."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def secret_forms(values: Iterable[str | bytes]) -> list[bytes]:
    """Return every byte string to mask for these secrets, longest first; bytes that are no text have no quoted forms."""
    forms: set[bytes] = set()
    for given in values:
        raw = as_bytes(given)
        value = raw.decode("utf-8", "surrogateescape")
        forms |= _forms(value, raw)
        lines = value.splitlines()
        if len(lines) > 1:
            stripped = (line.strip() for line in lines)
            forms |= {as_bytes(line) for line in stripped if len(line) >= SHORTEST_LINE}
    return sorted((form for form in forms if len(form) >= SHORTEST), key=len, reverse=True)


def _forms(value: str, raw: bytes) -> set[bytes]:
    text = {value, value.strip(), json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    text |= {quote(raw, safe=""), quote(raw), quote_plus(raw)}
    forms = {form.encode("utf-8", "surrogateescape") for form in text}
    forms |= {raw.hex().encode(), raw.hex().upper().encode()}
    return forms | _base64_forms(raw)


def _base64_forms(raw: bytes) -> set[bytes]:
    """Return what base64 makes of `raw`, alone or in the middle of something longer (`user:secret`)."""
    forms = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        forms.add(encode(raw).rstrip(b"="))
        for shift in range(3):
            encoded = encode(bytes(shift) + raw).rstrip(b"=")
            first = (shift * 8 + 5) // 6  # characters that also hold bits of what stands before
            last = (shift + len(raw)) * 8 // 6  # and after
            forms.add(encoded[first:last])
    return forms
