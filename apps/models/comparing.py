"""Versions side by side: what differs in metrics, parameters, signature, environment and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apps.core.errors import Invalid
from apps.models.models import ModelVersion, VersionFile

MOST = 10
_MOST_FILES = 2000


@dataclass(frozen=True, slots=True)
class Line:
    """One name and what each version says of it; None where it says nothing."""

    name: str
    values: Sequence[Any]

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values[1:])


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table for each kind of fact; `files` holds hashes: the same hash is the same bytes."""

    versions: Sequence[ModelVersion]
    metrics: Sequence[Line]
    params: Sequence[Line]
    signature: Sequence[Line]
    facts: Sequence[Line]
    files: Sequence[Line]

    def sections(self) -> list[tuple[str, Sequence[Line]]]:
        named = [
            ("Metrics", self.metrics), ("Parameters", self.params), ("Signature", self.signature), ("Files", self.files),
            ("Made from", self.facts),
        ]  # fmt: skip
        return [(title, lines) for title, lines in named if lines]


def compare(versions: Sequence[ModelVersion]) -> Comparison:
    """Compare versions, which the caller has judged. Raises: Invalid for fewer than two, or more than ten."""
    if not 2 <= len(versions) <= MOST:  # noqa: PLR2004 -- one alone has nothing to be compared with
        raise Invalid(errors={"version": [f"Choose 2 to {MOST} versions."]})
    signatures = [_signature(version.signature or {}) for version in versions]
    facts = [
        {
            "run": str(version.run_id) if version.run_id else None,
            "environment": version.environment or None,
            "datasets": ", ".join(f"{one['name']}@{one.get('digest', '')}" for one in version.datasets) or None,
        }
        for version in versions
    ]
    return Comparison(
        versions,
        _lines([version.metrics for version in versions]),
        _lines([version.params for version in versions]),
        _lines(signatures),
        _lines(facts),
        _lines(_files(versions)),
    )


def _lines(columns: Sequence[Mapping[str, Any]]) -> list[Line]:
    names = sorted({name for column in columns for name in column})
    lines = [Line(name, [column.get(name) for column in columns]) for name in names]
    return [line for line in lines if any(value is not None for value in line.values)]


def _signature(signature: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    for side, fields in signature.items():
        for number, field in enumerate(fields if isinstance(fields, list) else [fields]):
            about = field if isinstance(field, dict) else {"type": field}
            kind = about.get("type", "")
            found[f"{side}.{about.get('name', number)}"] = str(kind if isinstance(kind, str) else "object")
    return found


def _files(versions: Sequence[ModelVersion]) -> list[dict[str, str]]:
    columns: dict[Any, dict[str, str]] = {version.pk: {} for version in versions}
    for version in versions:
        rows = VersionFile.objects.filter(version=version).order_by("path").values_list("path", "sha256")
        columns[version.pk] = dict(rows[:_MOST_FILES])
    return list(columns.values())
