"""Reading answers as a person would: by what stands there."""

from typing import Any

from django.contrib.messages import get_messages


def said(response: Any) -> list[str]:
    """Return the messages that the next page will show."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def text_of(response: Any) -> str:
    found: str = response.content.decode()
    return found
