"""The conditions of a list of owned rows, as one expression.

The ids of a person's teams are read first and written into the condition, what was shared with him is selected within it,
by a statement that was written by hand: either is what costs least (docs/adr/0023).
"""

from collections.abc import Collection
from typing import Any

from django.db.models import BooleanField, F, Func
from typing_extensions import override

from apps.access.choices import Visibility
from apps.core.arrays import array


class Among(Func):
    """Whether a key is one of the few that `statement` selects: they are looked up one by one, in the order of the index."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, key: str, statement: tuple[str, list[Any]]) -> None:
        super().__init__(F(key))
        self._statement = statement

    @override
    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]  # no template is ever given
        (key,) = self.source_expressions
        selected, given = self._statement
        return f"{compiler.compile(key)[0]} = ANY(ARRAY({selected}))", given


class OwnedOrShared(Func):
    """Whether a row is owned by `owner`, reached through a team or its visibility, or one of those that `granted` selects.

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
        granted: tuple[str, list[Any]],
    ) -> None:
        arms: list[tuple[str, list[Any]]] = [("{owner} = %s", [owner])]
        private, organization, public = Visibility.PRIVATE.value, Visibility.ORGANIZATION.value, Visibility.PUBLIC.value
        if siblings:  # his own teams are among them, so that most rows of others fail at the first comparison
            either = "{visibility} = %s OR ({visibility} <> %s AND {team} = ANY(%s::{team_key}[]))"
            arms.append(
                (
                    f"{{team}} = ANY(%s::{{team_key}}[]) AND ({either})",
                    [array(siblings), organization, private, array(teams)],
                )
            )
        elif teams:
            arms.append(("{team} = ANY(%s::{team_key}[]) AND {visibility} <> %s", [array(teams), private]))
        if siblings is not None:
            arms.append(("{visibility} = %s", [public]))
        selected, given = granted
        arms.append((f"{{pk}} IN ({selected})", given))
        super().__init__(*(F(f"{prefix}{name}") for name in ("owner_id", "team_id", "visibility", "pk")))
        self._form = " OR ".join(f"({form})" for form, _ in arms)
        self._given = [one for _, given in arms for one in given]

    @override
    def as_sql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:  # type: ignore[override]  # no template is ever given
        """Fill the form with the columns and their types."""
        owner, team, visibility, pk = (compiler.compile(column)[0] for column in self.source_expressions)
        team_key = self.source_expressions[1].output_field.rel_db_type(connection)
        form = self._form.format(owner=owner, team=team, visibility=visibility, pk=pk, team_key=team_key)
        return f"({form})", self._given
