"""Who acts: a user (perhaps through a token), or the platform itself."""

from collections.abc import Sequence
from typing import Any, Protocol


class TokenLike(Protocol):
    """What the judge reads of a token."""

    @property
    def scopes(self) -> Sequence[str]: ...
    @property
    def bound_to(self) -> str: ...


class Principal(Protocol):
    """What the judge reads of whoever acts."""

    @property
    def pk(self) -> Any: ...
    @property
    def is_active(self) -> Any: ...
    @property
    def is_superuser(self) -> Any: ...
    @property
    def is_auditor(self) -> Any: ...
    @property
    def is_authenticated(self) -> Any: ...
    @property
    def changes_nothing(self) -> Any: ...


class _System:
    """The platform's own work: reconcile loops and commands. May do everything; audited as "system"."""

    pk = None
    is_active = True
    is_superuser = False
    is_auditor = False
    changes_nothing = ""
    seen_by = None
    is_authenticated = True
    is_system = True
    token = None

    def __str__(self) -> str:
        return "system"


SYSTEM = _System()
