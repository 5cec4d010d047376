"""The conditions of a list of owned rows, as one expression.

Ids are read first and written into the condition: the planner then knows how many there are, and chooses the way that
fits both a person who sees nearly all and one who sees nearly nothing (docs/adr/0023).
"""

from collections.abc import Collection
from typing import Any

from django.db.models import BooleanField, F, Func, Value

from apps.access.choices import Visibility

_FEW = 50  # so many ids the planner weighs one by one; with more that alone would take longer than the query


class OwnedOrShared(Func):
    """Whether a row is owned by `owner`, reached through a team or its visibility, or one of those `granted`.

    `teams` are those that give the role that is asked for. What lets everyone view is asked for only with
    `siblings`, all teams of the person's organizations; None leaves it out.
    """

    output_field = BooleanField()
    conditional = True

    def __init__(
        self,
        owner: Any,
        *,
        prefix: str,
        teams: Collection[Any],
        siblings: Collection[Any] | None,
        granted: Collection[Any],
    ) -> None:
        shared = Visibility.ORGANIZATION
        arms: list[tuple[str, list[Any]]] = [("{} = {}", [F(f"{prefix}owner_id"), Value(owner)])]
        team, visibility = F(f"{prefix}team_id"), F(f"{prefix}visibility")
        if teams:
            private = Value(str(Visibility.PRIVATE))
            arms.append(("({} = ANY({}) AND {} <> {})", [team, Value(list(teams)), visibility, private]))
        if siblings is not None:
            arms.append(("{} = {}", [visibility, Value(str(Visibility.PUBLIC))]))
            if siblings:
                seen = [visibility, Value(str(shared)), team, Value(list(siblings))]
                arms.append(("({} = {} AND {} = ANY({}))", seen))
        if granted:
            form = "{} = ANY({})" if len(granted) <= _FEW else "{} IN (SELECT unnest({}))"
            arms.append((form, [F(f"{prefix}pk"), Value(list(granted))]))
        super().__init__(*(part for _, parts in arms for part in parts))
        self._form = " OR ".join(form for form, _ in arms)

    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # noqa: ARG002
        """Fill the form with what the parts compile to."""
        compiled = [compiler.compile(part) for part in self.source_expressions]
        return f"({self._form.format(*(sql for sql, _ in compiled))})", [one for _, given in compiled for one in given]
