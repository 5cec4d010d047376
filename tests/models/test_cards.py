"""Markdown becomes HTML that can do nothing."""

from html.parser import HTMLParser

import pytest
from typing_extensions import override

from apps.models.cards import render


class Elements(HTMLParser):
    """The tags, attributes and links that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name == "href"]


def test_what_people_write() -> None:
    made = render(
        "# Digits\n\n*good* and **better** `code`\n\n- one\n- two\n\n| a | b |\n|---|--:|\n| 1 | 2 |\n\n[x](https://example.org)"
    )
    assert "<h3>Digits</h3>" in made
    assert "<em>good</em> and <strong>better</strong> <code>code</code>" in made
    assert "<li>one</li>" in made
    assert "<td>2</td>" in made
    assert '<a href="https://example.org" rel="nofollow noopener noreferrer">x</a>' in made


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://example.org/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        '<a href="https://x" onclick="alert(1)">x</a>',
        '<div style="position:fixed">x</div>',
        "<style>body{display:none}</style>",
        '[x](https://example.org "onmouseover=alert(1)")',
        "<iframe src=https://example.org>",
        "<svg><animate onbegin=alert(1)>",
        "[x]: javascript:alert(1)\n\n[x]",
    ],
)
def test_what_attackers_write(text: str) -> None:
    found = Elements()
    found.feed(str(render(text)))
    assert found.tags <= {"p", "a", "h3"}
    assert found.attributes <= {"href", "title", "rel"}
    assert all(link.startswith(("http://", "https://", "mailto:")) for link in found.links)
