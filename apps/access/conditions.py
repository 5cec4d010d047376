"""The conditions of a list of owned rows, as one expression.

Ids are read first and written into the condition: the planner then knows how many there are, and chooses the way that
fits both a person who sees nearly all and one who sees nearly nothing (docs/adr/0023).
"""

from collections.abc import Collection
from typing import Any

from django.db.models import BooleanField, F, Func
from typing_extensions import override

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
        arms: list[tuple[str, list[Any]]] = [("{owner} = %s", [owner])]
        private, organization, public = Visibility.PRIVATE.value, Visibility.ORGANIZATION.value, Visibility.PUBLIC.value
        if siblings:  # his own teams are among them, so that most rows of others fail at the first comparison
            either = "{visibility} = %s OR ({visibility} <> %s AND {team} = ANY(%s::{team_key}[]))"
            arms.append(
                (f"{{team}} = ANY(%s::{{team_key}}[]) AND ({either})", [siblings, organization, private, teams])
            )
        elif teams:
            arms.append(("{team} = ANY(%s::{team_key}[]) AND {visibility} <> %s", [teams, private]))
        if siblings is not None:
            arms.append(("{visibility} = %s", [public]))
        if granted:
            form = "{pk} = ANY(%s::{key}[])" if len(granted) <= _FEW else "{pk} IN (SELECT unnest(%s::{key}[]))"
            arms.append((form, [granted]))
        super().__init__(*(F(f"{prefix}{name}") for name in ("owner_id", "team_id", "visibility", "pk")))
        self._form = " OR ".join(f"({form})" for form, _ in arms)
        self._given = [
            one if isinstance(one, str) or one is owner else _array(one) for _, given in arms for one in given
        ]

    @override
    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]  # no template is ever given
        """Fill the form with the columns and their types."""
        owner, team, visibility, pk = (compiler.compile(column)[0] for column in self.source_expressions)
        team_key, key = (self.source_expressions[n].output_field.rel_db_type(connection) for n in (1, 3))
        form = self._form.format(owner=owner, team=team, visibility=visibility, pk=pk, team_key=team_key, key=key)
        return f"({form})", self._given


def _array(ids: Collection[Any]) -> str:
    """Write ids as PostgreSQL does: the driver would adapt them one by one."""
    return f"{{{','.join(map(str, ids))}}}"
