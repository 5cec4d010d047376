"""Public ids: UUIDv7 (RFC 9562), so that primary keys sort by time and stay unguessable enough to be public."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()


def id_in(text: str | None) -> UUID | None:
    """Return the id that a text is, None where it is none: for what stands in an address."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
