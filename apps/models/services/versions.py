"""Writes on model versions. What a version is made of is known before the model is locked; the lock is held for the rows."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import connection, transaction
from django.db.models import JSONField
from django.db.models.functions import Now
from psycopg.types.json import Jsonb

from apps.access import policy
from apps.audit import services as audit
from apps.core import failpoints
from apps.core.errors import Invalid, NotFound
from apps.core.ids import new_id
from apps.core.locks import lock_row
from apps.lineage import services as lineage
from apps.lineage.choices import Relation, ThingKind
from apps.models import mlmodel, scanning
from apps.models.files import Kept
from apps.models.models import ModelVersion, RegisteredModel, VersionTag
from apps.models.services.moves import drop_aliases_of
from apps.models.services.protection import require_nothing_protected
from apps.models.services.wording import checked_tags, checked_text
from apps.storage import services as storage
from apps.tracking import services as tracking
from apps.tracking.models import Run

MOST_FILES = 10_000
MOST_DATASETS = 100
_LONGEST_CARD = 200_000
_SHOWN = 1000


@dataclass(frozen=True, slots=True)
class Details:
    """What the maker of a version says of it. What he leaves out is read from the files, where they say it."""

    description: str = ""
    source: str = ""
    environment: str = ""
    signature: Mapping[str, Any] | None = None
    datasets: Sequence[Mapping[str, str]] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Said:
    """What the place that a version comes from says: its files, and the metrics and parameters known there."""

    files: Sequence[Kept]
    metrics: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def register_run(
    model: RegisteredModel,
    run: Run,
    path: str = "",
    *,
    by: Any,
    details: Details | None = None,
    may_be_empty: bool = False,
) -> ModelVersion:
    """Make the next version from what a run kept at `path` (a folder, or a file; "" is all of it).

    The files are referred to, not copied: deleting them from the run takes nothing from the version. Metrics and
    parameters are those of the run now. Audited; lineage is written with it.
    Raises: NotAllowed, NotFound for a run one may not see, Invalid when there is nothing at the path.
    """
    policy.require(by, "register", model)
    policy.require(by, "view", run)
    said = _said_by(run, path)
    if not said.files and not may_be_empty:
        raise Invalid(errors={"path": ["The run has no files there."]})
    return _register(model, said, details or Details(), by=by, run=run, run_path=path)


@transaction.atomic
def register_files(
    model: RegisteredModel, files: Sequence[Kept], *, by: Any, details: Details | None = None
) -> ModelVersion:
    """Make the next version from files that were put into the store. Audited; lineage is written with it.

    Raises: NotAllowed, Invalid without a file.
    """
    policy.require(by, "register", model)
    if not files:
        raise Invalid(errors={"files": ["There is no file in it."]})
    failpoints.hit("artifact.after_write_before_row")
    return _register(model, Said(files), details or Details(), by=by)


@transaction.atomic
def copy_version(
    model: RegisteredModel, origin: ModelVersion, *, by: Any, details: Details | None = None
) -> ModelVersion:
    """Make the next version of `model` from another version: the same files, and what was known of them. Audited.

    Raises: NotAllowed, NotFound for a version one may not see.
    """
    policy.require(by, "register", model)
    policy.require(by, "view", origin)
    rows = origin.files.order_by("path").values_list("path", "sha256", "size_bytes", "content_type")
    given = details or Details()
    same = replace(
        given,
        signature=given.signature or origin.signature,
        environment=given.environment or origin.environment,
        datasets=given.datasets or origin.datasets,
    )
    said = Said([Kept(*row) for row in rows], origin.metrics, origin.params)
    return _register(model, said, same, by=by, origin=origin)


@transaction.atomic
def update_version(version: ModelVersion, *, by: Any, description: str) -> ModelVersion:
    """Change a version's card: all else of it is as it was made. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", version)
    version.description = checked_text("description", description, _LONGEST_CARD)
    ModelVersion.objects.filter(pk=version.pk).update(description=version.description, updated_at=Now())
    version.refresh_from_db(fields=["updated_at"])
    audit.record("update", version.model, by=by, version=version.number)
    return version


@transaction.atomic
def tag_version(version: ModelVersion, tags: Mapping[str, str], *, by: Any) -> None:
    """Set tags; the last value written wins. Audited. Raises: NotAllowed, Invalid."""
    policy.require(by, "edit", version)
    _set_tags(version, checked_tags(tags))
    audit.record("tag", version.model, by=by, version=version.number, tags=dict(tags))


@transaction.atomic
def untag_version(version: ModelVersion, key: str, *, by: Any) -> None:
    """Take a tag off. Idempotent. Audited. Raises: NotAllowed."""
    policy.require(by, "edit", version)
    if VersionTag.objects.filter(version=version, key=key).delete()[0]:
        audit.record("untag", version.model, by=by, version=version.number, key=key)


@transaction.atomic
def archive_version(version: ModelVersion, *, by: Any, reason: str = "") -> None:
    """Take a version out of sight with its aliases; its number is not given again. Idempotent. Audited.

    Raises: NotAllowed, Conflict while something protected points to it.
    """
    policy.require(by, "delete", version)
    lock_row(RegisteredModel.objects.filter(pk=version.model_id))
    require_nothing_protected(version.model, version)
    if ModelVersion.objects.filter(pk=version.pk, archived_at=None).update(archived_at=Now()):
        drop_aliases_of(version, by=by, reason=reason or "The version was deleted.")
        audit.record("archive_version", version.model, by=by, reason=reason, version=version.number)


def find_version(model: RegisteredModel, reference: str | int) -> ModelVersion:
    """Return a version by number, alias or "latest"; the caller has judged that the model may be viewed.

    Raises: NotFound.
    """
    rows: Any = ModelVersion.objects.live().filter(model=model).select_related("model")
    text = str(reference)
    if text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004 -- fits the column
        found = rows.filter(number=int(text)).first()
    elif text == "latest":
        found = rows.newest_first().first()
    else:
        found = rows.filter(aliases__name=text).first() if "\x00" not in text else None
    if found is None:
        msg = "There is no such version."
        raise NotFound(msg)
    version: ModelVersion = found
    return version


def _said_by(run: Run, path: str) -> Said:
    """Read what a run kept at `path`, and what it logged, in one statement: each has a price at 8 clients."""
    folder = tracking.artifact_path(path.rstrip("/")) if path.strip("/") else ""
    inside: list[Kept] = []
    at_path: list[Kept] = []
    metrics: dict[str, Any] = {}
    params: dict[str, str] = {}
    asked: dict[str, Any] = {
        "run": run.pk,
        "folder": f"{folder}/" if folder else "",
        "file": folder,
        "files": MOST_FILES + 1,
        "shown": _SHOWN,
    }
    with connection.cursor() as cursor:
        cursor.execute(_SAID, asked)
        for kind, name, text, number, content_type, size in cursor.fetchall():
            match kind:
                case "metric":
                    metrics[name] = tracking.wire(number)
                case "param":
                    params[name] = text
                case _:
                    kept = Kept(name, text, size, content_type)
                    (at_path if name == folder else inside).append(kept)
    if len(inside) > MOST_FILES:
        raise Invalid(errors={"path": [f"More than {MOST_FILES} files. Name a folder."]})
    if not inside:
        folder = folder.rpartition("/")[0]
    skipped = len(folder) + 1 if folder else 0
    return Said([replace(kept, path=kept.path[skipped:]) for kept in inside or at_path], metrics, params)


def _register(
    model: RegisteredModel,
    said: Said,
    details: Details,
    *,
    by: Any,
    run: Run | None = None,
    run_path: str = "",
    origin: ModelVersion | None = None,
) -> ModelVersion:
    files, learned = said.files, mlmodel.learn(said.files)
    tags = checked_tags(details.tags)
    version = ModelVersion(
        pk=new_id(),
        model=model,
        run=run,
        run_path=run_path.strip("/"),
        source=checked_text("source", details.source, 1000),
        description=checked_text("description", details.description, _LONGEST_CARD),
        signature=dict(details.signature) if details.signature else learned.signature,
        environment=checked_text("environment", details.environment, mlmodel.LONGEST_ENVIRONMENT)
        or learned.environment,
        datasets=_datasets(details.datasets),
        metrics={**said.metrics, **details.metrics},
        params=dict(said.params),
        scan={**scanning.scan(files), "flavors": list(learned.flavors)},
        files_count=len(files),
        size_bytes=sum(file.size_bytes for file in files),
        created_by=by,
    )
    _write(version, files, tags)
    _connect(version, origin)
    audit.record("register", model, by=by, version=version.number, files=len(files), run=run and str(run.pk))
    return version


def _write(version: ModelVersion, files: Sequence[Kept], tags: Mapping[str, str]) -> None:
    if files:
        storage.require_kept(*(file.sha256 for file in files))
    columns = zip(*((file.path, file.sha256, file.size_bytes, file.content_type) for file in files), strict=True)
    paths, hashes, sizes, kinds = map(list, columns) if files else ([], [], [], [])
    values = {field.attname: getattr(version, field.attname) for field in _FIELDS}
    values |= {name: Jsonb(values[name]) for name in _DOCUMENTS if values[name] is not None}
    with connection.cursor() as cursor:
        # LOCKING: the row of the model is held from here to the commit, so that numbers have no gap and come in order.
        cursor.execute(_MAKE, {**values, "paths": paths, "hashes": hashes, "sizes": sizes, "kinds": kinds})
        row = cursor.fetchone()
    if row is None:
        raise NotFound
    version.number, version.created_at, version.updated_at = row
    version._state.adding = False  # noqa: SLF001 -- documented Django API
    if tags:
        _set_tags(version, tags)


def _connect(version: ModelVersion, origin: ModelVersion | None) -> None:
    """Write what the version came from. SECURITY: only what its maker could see or said himself."""
    sources: list[tuple[lineage.Node, Relation]] = []
    if origin is not None:
        sources.append((lineage.Node("modelversion", origin.pk), Relation.PRODUCED))
    if version.run_id is not None:
        sources.append((lineage.Node("run", version.run_id), Relation.PRODUCED))
    for dataset in version.datasets:
        node = lineage.thing(ThingKind.DATASET, dataset["name"], dataset.get("digest", ""))
        sources.append((node, Relation.INPUT))
    if version.environment:
        digest = hashlib.sha256(version.environment.encode()).hexdigest()
        sources.append((lineage.thing(ThingKind.ENVIRONMENT, "packages", digest), Relation.ENVIRONMENT))
    lineage.link(lineage.Node("modelversion", version.pk), sources)


def _datasets(given: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    found = []
    for number, dataset in enumerate(given):
        name = checked_text(f"datasets[{number}].name", dataset.get("name", ""), 500)
        digest = checked_text(f"datasets[{number}].digest", dataset.get("digest", ""), 200)
        if not name:
            raise Invalid(errors={f"datasets[{number}].name": ["Give it a name."]})
        found.append({"name": name, "digest": digest} if digest else {"name": name})
    if len(found) > MOST_DATASETS:
        raise Invalid(errors={"datasets": [f"At most {MOST_DATASETS}."]})
    return found


def _set_tags(version: ModelVersion, tags: Mapping[str, str]) -> None:
    rows = [VersionTag(version=version, key=key, value=value) for key, value in tags.items()]
    VersionTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["version", "key"], update_fields=["value"]
    )


_SAID = """
(SELECT 'file', path, sha256, NULL::float8, content_type, size_bytes FROM tracking_artifact
  WHERE run_id = %(run)s AND (starts_with(path, %(folder)s) OR path = %(file)s) ORDER BY path LIMIT %(files)s)
UNION ALL
(SELECT 'metric', key, NULL, last_value, NULL, NULL FROM tracking_metricseries
  WHERE run_id = %(run)s AND last_value IS NOT NULL ORDER BY key LIMIT %(shown)s)
UNION ALL
(SELECT 'param', key, value, NULL, NULL, NULL FROM tracking_param WHERE run_id = %(run)s ORDER BY key LIMIT %(shown)s)
"""
_GIVEN_LATER = {"number", "created_at", "updated_at", "archived_at"}
_FIELDS = [field for field in ModelVersion._meta.concrete_fields if field.name not in _GIVEN_LATER]  # noqa: SLF001 -- documented Django API
_DOCUMENTS = [field.attname for field in _FIELDS if isinstance(field, JSONField)]
# One statement: a version and its files are written with the number that the model's row gives.
_MAKE = f"""
WITH numbered AS (
    UPDATE registry_registeredmodel SET newest = newest + 1, updated_at = now()
     WHERE id = %(model_id)s AND archived_at IS NULL RETURNING newest
), made AS (
    INSERT INTO registry_modelversion (number, {", ".join(str(field.column) for field in _FIELDS)})
    SELECT newest, {", ".join(f"%({field.attname})s" for field in _FIELDS)} FROM numbered
    RETURNING id, number, created_at, updated_at
), kept AS (
    INSERT INTO registry_versionfile (version_id, path, sha256, size_bytes, content_type)
    SELECT made.id, files.* FROM made, unnest(%(paths)s::text[], %(hashes)s::text[], %(sizes)s::int8[], %(kinds)s::text[]) AS files
)
SELECT number, created_at, updated_at FROM made
"""  # noqa: S608 -- built from the names of our own columns
