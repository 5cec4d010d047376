"""Statements that the server plans once per connection, for where planning is most of the work.

Django binds values into the text of a statement, so that each is parsed and planned anew. Under a lock that others wait for
this counts double (docs/adr/0024).
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import connection


def rows_of(statement: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement of this connection's transaction, prepared, and return its rows.

    Values are sent beside the text: those of lists need a cast in the text, or each size of number is planned for itself.
    Raises: the errors of `django.db`.
    """
    with connection.cursor() as opened, connection.wrap_database_errors, psycopg.Cursor(opened.connection) as cursor:
        cursor.execute(statement, given, prepare=True)
        return cursor.fetchall() if cursor.description else []
