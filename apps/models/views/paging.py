"""Pages of a list, newest first by the time-ordered key: `after` goes on to older rows, `before` back to newer ones."""

from typing import Any

from django.http import QueryDict

from apps.core.ids import id_in

SIZE = 50


class Page:
    """One page of rows."""

    def __init__(self, queryset: Any, query: QueryDict) -> None:
        before, after = id_in(query.get("before")), id_in(query.get("after"))
        if before is not None:
            found = list(queryset.filter(pk__gt=before).order_by("pk")[: SIZE + 1])
            self.rows = found[:SIZE][::-1]
            has_newer, has_older = len(found) > SIZE, True
        else:
            older = queryset.filter(pk__lt=after) if after is not None else queryset
            found = list(older.order_by("-pk")[: SIZE + 1])
            self.rows = found[:SIZE]
            has_newer, has_older = after is not None, len(found) > SIZE
        self.newer = str(self.rows[0].pk) if has_newer and self.rows else ""
        self.older = str(self.rows[-1].pk) if has_older and self.rows else ""
