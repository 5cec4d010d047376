"""The answer of the judge, with its reason."""

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """What one may do with one object; each role includes the ones below it."""

    NONE = 0
    VIEWER = 1
    EDITOR = 2
    MANAGER = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Decision:
    """`allowed`, and one sentence that says through what, or what is missing."""

    allowed: bool
    reason: str
    visible: bool = True  # false: answer "not found", so that existence is not given away
    missing_scope: str = ""

    def __bool__(self) -> bool:
        return self.allowed
