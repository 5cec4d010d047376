"""What tracking has to say goes to standard error: once per matter, and never as an exception."""

import sys

_said: set[str] = set()


def notice(text: str, *, once: str | None = None) -> None:
    """Write one line. With `once`, only the first with that key."""
    if once is not None:
        if once in _said:
            return
        _said.add(once)
    try:
        sys.stderr.write(f"fathom: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # standard error is closed or absent: nobody is listening
        pass
