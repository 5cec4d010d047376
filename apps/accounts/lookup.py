"""Whose a token is, in one statement that the ORM compiles once: to compile it anew would be most of the work."""

from functools import lru_cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models import Model

from apps.accounts.models import ApiToken, User

M = TypeVar("M", bound=Model)
_HERE = "the digest"


def live_token(digest: str) -> ApiToken | None:
    """Return the live token of a digest, with its user: what the queryset in `_statement` would."""
    sql, before, after = _statement()
    with connection.cursor() as cursor:
        cursor.execute(sql, [*before, digest, *after])
        row = cursor.fetchone()
    if row is None:
        return None
    count = len(ApiToken._meta.concrete_fields)  # noqa: SLF001 -- documented Django API
    token = _loaded(ApiToken, row[:count])
    token.user = _loaded(User, row[count:])
    return token


@lru_cache(maxsize=1)
def _statement() -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    """Return the SQL, and the parameters before and after the digest."""
    rows = ApiToken.objects.live().select_related("user").filter(digest=_HERE)
    sql, params = rows.query.get_compiler(connection=connection).as_sql()
    at = params.index(_HERE)
    return sql, tuple(params[:at]), tuple(params[at + 1 :])


def _loaded(model: type[M], values: Any) -> M:
    fields = model._meta.concrete_fields  # noqa: SLF001 -- documented Django API
    converted = [
        field.from_db_value(value, None, connection) if hasattr(field, "from_db_value") else value
        for field, value in zip(fields, values, strict=True)
    ]
    return model.from_db(DEFAULT_DB_ALIAS, [field.attname for field in fields], converted)
