"""The filters of lists of models, shared by page and API: a mapping of strings in, a narrowed queryset out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from apps.core.errors import Invalid
from apps.models.choices import Stage
from apps.models.models import ModelTag, ModelVersion, RegisteredModel, VersionTag
from apps.models.querysets import ModelVersionQuerySet, RegisteredModelQuerySet

_LONGEST = 250


@dataclass(frozen=True, slots=True)
class ModelFilter:
    """What a list is narrowed to; everything given must hold."""

    text: str = ""
    name: str = ""
    team: str = ""
    tags: Sequence[tuple[str, str]] = ()

    @classmethod
    def read(cls, query: Any) -> Self:
        """Read a QueryDict. Raises: Invalid for what is no text, or an ill-formed tag."""
        return cls(_word(query, "q"), _word(query, "name"), _word(query, "team"), _tags(query))

    def apply(self, rows: RegisteredModelQuerySet[RegisteredModel]) -> RegisteredModelQuerySet[RegisteredModel]:
        exact = {"name__icontains": self.text, "name": self.name, "team__slug": self.team}
        rows = rows.filter(**{name: value for name, value in exact.items() if value})
        for key, value in self.tags:
            rows = rows.filter(pk__in=ModelTag.objects.filter(key=key, value=value).values("model_id"))
        return rows


@dataclass(frozen=True, slots=True)
class VersionFilter:
    """The same of versions."""

    stage: str = ""
    tags: Sequence[tuple[str, str]] = ()

    @classmethod
    def read(cls, query: Any) -> Self:
        """Read a QueryDict. Raises: Invalid for an unknown stage or an ill-formed tag."""
        stage = _word(query, "stage")
        if stage and stage not in Stage.values:
            raise Invalid(errors={"stage": [f"One of {', '.join(Stage.values)}."]})
        return cls(stage, _tags(query))

    def apply(self, rows: ModelVersionQuerySet[ModelVersion]) -> ModelVersionQuerySet[ModelVersion]:
        rows = rows.filter(stage=self.stage) if self.stage else rows
        for key, value in self.tags:
            rows = rows.filter(pk__in=VersionTag.objects.filter(key=key, value=value).values("version_id"))
        return rows


def _word(query: Any, name: str) -> str:
    value = str(query.get(name, "")).strip()
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        value = "\x00"
    if "\x00" in value or len(value) > _LONGEST:
        raise Invalid(errors={name: ["Too long, or not text."]})
    return value


def _tags(query: Any) -> list[tuple[str, str]]:
    tags = [tag for tag in query.getlist("tag") if tag]
    if any("=" not in tag or "\x00" in tag or not tag.isprintable() for tag in tags):
        raise Invalid(errors={"tag": ["Expected key=value."]})
    pairs = [tag.partition("=") for tag in tags]
    return [(key, value) for key, _, value in pairs]
