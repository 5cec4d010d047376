"""The form of a token: `fth_<kind>_<43 base62 characters><6-digit check>`; the check spares the database obvious typos."""

import hashlib
import hmac
import secrets
import zlib

from django.conf import settings

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BODY, _CHECK = 43, 6


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def _assemble(kind: str, number: int) -> str:
    body = _base62(number, _BODY)
    return f"fth_{kind}_{body}{_base62(zlib.crc32(body.encode()), _CHECK)}"


def random_token(kind: str) -> str:
    return _assemble(kind, secrets.randbits(256))


def derived_token(kind: str, purpose: str) -> str:
    """Derive a token from the platform's data key: the same purpose yields the same token, so none need be stored."""
    mac = hmac.new(bytes.fromhex(settings.FATHOM_DATA_KEY), f"token|{kind}|{purpose}".encode(), hashlib.sha256)
    return _assemble(kind, int.from_bytes(mac.digest()))


def is_well_formed(token: str) -> bool:
    parts = token.split("_")
    if len(parts) != 3 or parts[0] != "fth" or len(parts[2]) != _BODY + _CHECK or not token.isascii():  # noqa: PLR2004 -- three parts
        return False
    body, check = parts[2][:_BODY], parts[2][_BODY:]
    return check == _base62(zlib.crc32(body.encode()), _CHECK)


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
