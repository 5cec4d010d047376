"""Archives are raw bytes: schemathesis is told how to send them."""

from typing import Any

import schemathesis


@schemathesis.serializer("application/gzip", "application/zip")
def raw(context: Any, value: Any) -> bytes:
    del context
    return value if isinstance(value, bytes) else repr(value).encode()
