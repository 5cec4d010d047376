"""Public ids: UUIDv7 (RFC 9562), so that primary keys sort by time and stay unguessable enough to be public."""

from uuid import UUID

import uuid_utils.compat


def new_id() -> UUID:
    return uuid_utils.compat.uuid7()
