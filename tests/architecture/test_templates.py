"""Templates hold no code and no style: the content security policy allows neither, and a page must not need them."""

import re

import pytest

from tests.architecture.source import ROOT

TEMPLATES = sorted((ROOT / "templates").rglob("*.html")) + sorted((ROOT / "apps").rglob("templates/**/*.html"))
_RULES = {
    "inline script": re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", re.IGNORECASE),
    "inline style": re.compile(r"<style\b|\sstyle\s*=", re.IGNORECASE),
    "event attribute": re.compile(r"<[^>]*\son[a-z]+\s*=", re.IGNORECASE),
    "htmx event attribute": re.compile(r"\shx-on[:\w-]*\s*=", re.IGNORECASE),
    "javascript link": re.compile(r"(href|src)\s*=\s*[\"']\s*javascript:", re.IGNORECASE),
    "foreign host": re.compile(r"<(script|link|img|iframe)\b[^>]*(src|href)\s*=\s*[\"'](https?:)?//", re.IGNORECASE),
    "unescaped output": re.compile(r"\|\s*safe\b|\{%\s*autoescape\s+off"),
}


def violations(text: str) -> list[str]:
    return [rule for rule, pattern in _RULES.items() if pattern.search(text)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_template_is_plain(path: object) -> None:
    assert violations(path.read_text()) == []  # type: ignore[attr-defined]


def test_there_are_templates() -> None:
    assert TEMPLATES


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("<script>alert(1)</script>", "inline script"),
        ('<p style="color: red">', "inline style"),
        ('<button onclick="go()">', "event attribute"),
        ('<a href="javascript:go()">', "javascript link"),
        ('<script src="https://cdn.example/x.js">', "foreign host"),
        ("{{ text|safe }}", "unescaped output"),
    ],
)
def test_the_rules_see_what_they_forbid(text: str, rule: str) -> None:
    assert violations(text) == [rule]
