"""Masking: whatever way the stream is cut into pieces, the result is the same, and nothing waits without need."""

import base64
import random

import pytest

from apps.compute.backends.masking import MASK, Masker
from apps.compute.backends.secret_forms import secret_forms

PATTERNS = (b"secret", b"secretive", b"abcabc", b"cab-x", b"\n-key-\n")


def _masked(pieces: list[bytes], patterns: tuple[bytes, ...] = PATTERNS) -> bytes:
    masker = Masker(patterns)
    return b"".join(map(masker.feed, pieces)) + masker.close()


def _expected(data: bytes, patterns: tuple[bytes, ...] = PATTERNS) -> bytes:
    """The plainest way: mark every byte of every occurrence, then write a mask for each run that overlaps."""
    spans = sorted(
        (at, at + len(pattern)) for pattern in patterns for at in range(len(data)) if data.startswith(pattern, at)
    )
    out, position = bytearray(), 0
    merged: list[list[int]] = []
    for begin, end in spans:
        if merged and begin < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    for begin, end in merged:
        out += data[position:begin] + MASK
        position = end
    return bytes(out + data[position:])


@pytest.mark.parametrize(
    "data",
    [
        b"a secret b",
        b"secretive",
        b"secretsecret",
        b"abcabcab-x",
        b"abcabcabcabc",
        b"se" + b"secre" * 3 + b"t",
        b"\n-key-\n-key-\n",
        b"nothing here",
        b"",
        b"secre",
    ],
)
def test_every_way_to_cut_gives_the_same(data: bytes) -> None:
    expected = _expected(data)
    assert _masked([data]) == expected
    for cut in range(len(data) + 1):
        assert _masked([data[:cut], data[cut:]]) == expected
    assert _masked([data[i : i + 1] for i in range(len(data))]) == expected


def test_random_streams_cut_at_random() -> None:
    dice = random.Random(7)
    for _ in range(400):
        words = [*PATTERNS, b"s", b"sec", b"ab", b"c", b"\n", b"-", b"tive", b"x"]
        data = b"".join(dice.choice(words) for _ in range(dice.randrange(12)))
        pieces, rest = [], data
        while rest:
            size = dice.randrange(1, 6)
            pieces.append(rest[:size])
            rest = rest[size:]
        assert _masked(pieces) == _expected(data), (data, pieces)


def test_only_what_may_become_a_secret_waits() -> None:
    masker = Masker(PATTERNS)
    assert masker.feed(b"an ordinary line\n") == b"an ordinary line"  # a newline begins one of the patterns
    assert masker.feed(b"next") == b"\nnext"
    assert masker.feed(b" secr") == b" "
    assert masker.feed(b"ets") == MASK
    assert masker.feed(b"!") == b"s!"
    assert masker.close() == b""


def test_no_patterns_no_work() -> None:
    masker = Masker(())
    assert masker.feed(b"as it is") == b"as it is"
    assert masker.close() == b""


def test_a_repeating_secret_holds_back_no_more_than_itself() -> None:
    masker = Masker((b"a" * 50,))
    written = b"".join(masker.feed(b"a" * 1000) for _ in range(1000))
    assert len(written + masker.close()) <= 3


@pytest.mark.parametrize(
    "shown",
    [
        lambda s: s,
        lambda s: base64.b64encode(s.encode()).decode(),
        lambda s: base64.b64encode(f"u:{s}".encode()).decode(),
        lambda s: base64.b64encode(f"me:{s}".encode()).decode(),
        lambda s: base64.urlsafe_b64encode(f"x{s}".encode()).decode(),
        lambda s: s.encode().hex(),
        lambda s: s.replace(" ", "%20").replace('"', "%22").replace("/", "%2F").replace("+", "%2B"),
        lambda s: s.replace('"', '\\"'),
    ],
    ids=["raw", "base64", "in base64 +2", "in base64 +3", "urlsafe +1", "hex", "url", "json"],
)
def test_a_secret_is_masked_in_every_form(shown: "object") -> None:
    secret = 'pa"ss w/ord+42'
    text = shown(secret)  # type: ignore[operator]
    masked = _masked([f"<{text}>".encode()], tuple(secret_forms([secret])))
    assert MASK in masked
    assert len(masked) <= len("<***>") + 6, masked  # at most the ends that also hold bits of something else


def test_short_forms_are_left_alone() -> None:
    assert secret_forms(["on", ""]) == []


def test_lines_of_a_long_secret_are_masked_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nshort\n-----END KEY-----"
    forms = secret_forms([key])
    assert b"MIIEvQIBADANBgkqhkiG9w0BAQ" in forms
    assert b"short" not in forms
