"""Arrays of numbers for PostgreSQL, as text: the driver would adapt them one by one, a millisecond for a thousand."""

from collections.abc import Iterable


def array(numbers: Iterable[float]) -> str:
    """Write numbers as PostgreSQL writes an array; the statement says of what type it is: `%(ids)s::bigint[]`."""
    return f"{{{','.join(map(str, numbers))}}}"
