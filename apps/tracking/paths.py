"""The paths of artifacts: relative, with slashes, the same on every system they may be downloaded to."""

import unicodedata

from apps.core.errors import Invalid

LONGEST = 500
_LONGEST_PART = 255


def clean_path(text: str) -> str:
    """Return the path in its one spelling (NFC). Raises: Invalid for what could leave a folder or hide in it."""
    path = unicodedata.normalize("NFC", text)
    sentence = _problem(path)
    if sentence:
        raise Invalid(errors={"path": [sentence]})
    return path


def clean_folder(text: str) -> str:
    """The same of a folder; "" is the run's top, and one slash at the end does no harm."""
    return clean_path(text.removesuffix("/")) if text not in {"", "/"} else ""


def ancestors(path: str) -> list[str]:
    """List the folders a file lies in: of `a/b/c` these are `a` and `a/b`."""
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts))]


def _problem(path: str) -> str:
    parts = path.split("/")
    if len(path) > LONGEST:
        return f"Longer than {LONGEST} characters."
    if any(unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"} for letter in path) or "\\" in path:
        return "Control characters and backslashes are not accepted."
    if any(part in {"", ".", ".."} for part in parts):
        return "A path is relative, without empty parts, '.' and '..'."
    if any(len(part.encode()) > _LONGEST_PART for part in parts):
        return f"A part is longer than {_LONGEST_PART} bytes."
    return ""
