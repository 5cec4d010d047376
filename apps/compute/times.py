"""Times by the database's clock, and lengths of time by evidence."""

from datetime import datetime, timedelta
from typing import Any

from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.functions import Now


def later(seconds: float) -> Any:
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def milliseconds(start: datetime | None, end: datetime | None) -> int:
    """Return the time between two pieces of evidence; none when one is missing, or they are the wrong way round."""
    return 0 if start is None or end is None else max(0, (end - start) // timedelta(milliseconds=1))
