"""The only place where rows are locked.

LOCKING: one global order (platform, organization, team, user, object; within a table by primary key) makes deadlock
impossible. Locks are never held across a network call.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def lock_rows(queryset: QuerySet[M], *, order: tuple[str, ...] = ("pk",), no_key: bool = True) -> list[M]:
    """Lock the rows of `queryset` in `order` and return them. Evaluated here: a lazy queryset locks nothing.

    `no_key` leaves foreign-key inserts that point at the rows unblocked; pass False only to delete or re-key.
    Raises: TransactionManagementError outside a transaction.
    """
    return list(queryset.order_by(*order).select_for_update(no_key=no_key, of=("self",)))


def claim_rows(queryset: QuerySet[M], *, limit: int, no_key: bool = True) -> list[M]:
    """Lock up to `limit` rows that nobody else has locked, in the queryset's own order, skipping the others.

    Pass `no_key=False` only to delete them.
    """
    return list(queryset.select_for_update(no_key=no_key, of=("self",), skip_locked=True)[:limit])


def lock_row(queryset: QuerySet[M], *, no_key: bool = True) -> M:
    """Lock and return the single row of `queryset`. Raises: the model's DoesNotExist."""
    return queryset.select_for_update(no_key=no_key, of=("self",)).get()


def pin_rows(model: type[Model], pks: Collection[str | int | UUID]) -> bool:
    """Keep rows from being deleted until the transaction ends, as foreign keys to them would; false when one is not there.

    Those who pin the same row do not wait for each other. The keys are distinct.
    """
    table, column = model._meta.db_table, model._meta.pk.column  # noqa: SLF001 -- documented Django API
    which = f'WHERE "{column}" = ANY(%s) ORDER BY "{column}" FOR KEY SHARE'
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT 1 FROM "{table}" {which}', [list(pks)])  # noqa: S608 -- names of the model
        return len(cursor.fetchall()) == len(pks)


@contextmanager
def advisory(name: str) -> Iterator[bool]:
    """Yield whether this transaction won the named lock. Held to the end of the transaction; never waits."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        row = cursor.fetchone()
        yield bool(row and row[0])
