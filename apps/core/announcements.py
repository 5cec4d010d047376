"""Hints to whoever follows something live: "there is more". Losing one costs its reader a poll."""

from typing import Any

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)


def group_of(subject: str) -> str:
    """Name the channel group of everything that happens to a subject ("run:<id>")."""
    return subject.replace(":", ".")


def announce(subject: str, message: dict[str, Any]) -> None:
    """Send a hint to the followers of a subject."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group_of(subject), message)
    except (RedisError, OSError) as error:
        logger.warning("announcement_lost", subject=subject, error=str(error))
