"""Registering: what a version keeps, who may make one, and that it stays as it was made."""

import io
import pickle
import tarfile
import zipfile
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from apps.audit.models import AuditEvent
from apps.core.errors import Conflict, Invalid, NotAllowed, NotFound, TooLarge
from apps.models import services
from apps.models.files import open_file
from apps.models.models import ModelVersion, RegisteredModel, VersionFile
from apps.tracking import services as tracking
from apps.tracking.models import Artifact, Run
from tests.models.conftest import keep, upload
from tests.people import Cast


def files_of(version: ModelVersion) -> list[str]:
    return sorted(version.files.values_list("path", flat=True))


def test_a_version_keeps_what_the_run_had(cast: Cast, model: RegisteredModel, run: Run) -> None:
    made = services.register_run(model, run, "model", by=cast.alice, details=services.Details(tags={"k": "v"}))
    made = ModelVersion.objects.get(pk=made.pk)
    assert (made.number, made.stage, made.run_id, made.run_path) == (1, "None", run.pk, "model")
    assert files_of(made) == ["MLmodel", "model.pkl", "requirements.txt"]
    assert made.signature == {
        "inputs": [{"type": "double", "name": "x", "required": True}],
        "outputs": [{"type": "long", "required": True}],
    }
    assert made.environment == "scikit-learn==1.5\n"
    assert made.metrics == {"accuracy": 0.93, "loss": "NaN"}
    assert made.params == {"lr": "0.1"}
    assert (made.files_count, made.size_bytes) == (3, sum(made.files.values_list("size_bytes", flat=True)))
    assert list(made.tags.values_list("key", "value")) == [("k", "v")]
    assert AuditEvent.objects.filter(action="register", object_id=str(model.pk)).count() == 1


def test_a_single_file_and_the_whole_run(cast: Cast, model: RegisteredModel, run: Run) -> None:
    assert files_of(services.register_run(model, run, "notes.txt", by=cast.alice)) == ["notes.txt"]
    assert len(files_of(services.register_run(model, run, "", by=cast.alice))) == 4
    with pytest.raises(Invalid):
        services.register_run(model, run, "nothing/here", by=cast.alice)
    assert [row.number for row in model.versions.order_by("number")] == [1, 2]


def test_what_the_run_loses_later_the_version_keeps(cast: Cast, version: ModelVersion, run: Run) -> None:
    artifact = tracking.find_artifact(run, "model/requirements.txt")
    tracking.delete_artifact(artifact, by=cast.alice)
    keep(run, cast.alice, "model/model.pkl", b"another")
    assert files_of(version) == ["MLmodel", "model.pkl", "requirements.txt"]
    kept = version.files.get(path="model.pkl")
    with open_file(kept.sha256) as file:
        assert pickle.loads(file.read()) == {"weights": [1, 2]}


def test_numbers_have_no_gap_after_a_refusal_or_a_deletion(cast: Cast, model: RegisteredModel, run: Run) -> None:
    first = services.register_run(model, run, "model", by=cast.alice)
    with pytest.raises(Invalid):
        services.register_run(model, run, "model", by=cast.alice, details=services.Details(tags={"": "x"}))
    with transaction.atomic():
        services.register_run(model, run, "model", by=cast.alice)
        transaction.set_rollback(True)
    second = services.register_run(model, run, "model", by=cast.alice)
    services.archive_version(second, by=cast.alice)
    third = services.register_run(model, run, "model", by=cast.alice)
    assert [first.number, second.number, third.number] == [1, 2, 3]
    assert services.find_version(model, "latest") == third
    with pytest.raises(NotFound):
        services.find_version(model, 2)


@pytest.mark.parametrize(("name", "error"), [("bob", NotAllowed), ("charlie", NotFound), ("aud", NotAllowed)])
def test_who_may_not_register(cast: Cast, model: RegisteredModel, run: Run, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        services.register_run(model, run, "model", by=cast.people[name])
    assert not ModelVersion.objects.exists()
    model.refresh_from_db()
    assert model.newest == 0


def test_nobody_registers_from_a_run_he_may_not_see(cast: Cast, run: Run) -> None:
    mine = services.create_model("mine", by=cast.charlie)
    assert Artifact.objects.filter(run=run).exists()  # there is something to be taken
    with pytest.raises(NotFound):
        services.register_run(mine, run, "model", by=cast.charlie)
    assert not ModelVersion.objects.exists()


def test_what_a_version_was_made_with_does_not_change(version: ModelVersion) -> None:
    rows = ModelVersion.objects.filter(pk=version.pk)
    for change in ({"number": 9}, {"metrics": {"accuracy": 1}}, {"signature": {}}, {"environment": "x"}, {"run": None}):
        with pytest.raises(IntegrityError, match="does not change"), transaction.atomic():
            rows.update(**change)
    for statement in ("UPDATE registry_versionfile SET sha256 = 'x'", "DELETE FROM registry_versionfile"):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    rows.update(description="may", stage="Staging")


def test_its_card_and_tags_may(cast: Cast, version: ModelVersion) -> None:
    services.update_version(version, by=cast.alice, description="better")
    services.tag_version(version, {"a": "1"}, by=cast.alice)
    services.tag_version(version, {"a": "2", "b": "3"}, by=cast.alice)
    services.untag_version(version, "b", by=cast.alice)
    assert list(version.tags.values_list("key", "value")) == [("a", "2")]
    with pytest.raises(NotAllowed):
        services.update_version(version, by=cast.bob, description="worse")
    with pytest.raises(NotAllowed):
        services.tag_version(version, {"a": "0"}, by=cast.bob)
    version.refresh_from_db()
    assert version.description == "better"


def tar_of(**files: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zip_of(**files: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("__", "/"), data)
    return made.getvalue()


@pytest.mark.parametrize(("pack", "kind"), [(tar_of, "application/gzip"), (zip_of, "application/zip")])
def test_an_archive_becomes_files(cast: Cast, model: RegisteredModel, pack: Any, kind: str) -> None:
    kept = services.store_archive(io.BytesIO(pack(model__weights=b"w" * 5000, MLmodel=b"x")), kind)
    made = services.register_files(model, kept, by=cast.alice)
    assert files_of(made) == ["MLmodel", "model/weights"]
    assert made.size_bytes == 5001


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a/../../b", "a//b"])
@pytest.mark.parametrize(("pack", "kind"), [(tar_of, "application/gzip"), (zip_of, "application/zip")])
def test_an_archive_that_leaves_its_folder(name: str, pack: Any, kind: str) -> None:
    with pytest.raises(Invalid):
        services.store_archive(io.BytesIO(pack(**{name.replace("/", "__"): b"x"})), kind)


def test_a_link_in_an_archive() -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(Invalid, match="neither a file nor a folder"):
        services.store_archive(io.BytesIO(made.getvalue()), "application/gzip")


@pytest.mark.parametrize("kind", list(services.FORMATS))
def test_a_broken_archive(cast: Cast, model: RegisteredModel, kind: str) -> None:
    whole = (zip_of if "zip" in kind and "g" not in kind else tar_of)(a=b"x" * 100_000)
    for broken in (b"", b"no archive at all", whole[: len(whole) // 2]):
        if kind == "application/x-tar" and not broken:
            continue
        with pytest.raises(Invalid):
            services.register_files(model, services.store_archive(io.BytesIO(broken), kind), by=cast.alice)
    assert not ModelVersion.objects.exists()
    assert not VersionFile.objects.exists()


def test_a_small_archive_of_a_large_file(settings: Any) -> None:
    settings.ARTIFACT_LIMIT_BYTES = 1 << 20
    with pytest.raises(TooLarge):
        services.store_archive(io.BytesIO(tar_of(zeros=bytes(3 << 20))), "application/gzip")


def test_a_file_and_a_folder_of_one_name(cast: Cast, model: RegisteredModel) -> None:
    with pytest.raises(Invalid, match="is a file"):
        services.store_files([("a", iter([b"x"])), ("a/b", iter([b"y"]))])


def test_names(cast: Cast, model: RegisteredModel) -> None:
    for name in ("digits", " digits "):
        with pytest.raises(Invalid, match="exists"):
            services.create_model(name, by=cast.mia, team=cast.team)
    services.create_model("digits", by=cast.mia)  # her own is another
    for name in ("", "a/b", "a:b", "x" * 300, "a\x00b"):
        with pytest.raises(Invalid):
            services.create_model(name, by=cast.mia)
    services.archive_model(model, by=cast.alice)
    services.create_model("digits", by=cast.mia, team=cast.team)  # free again


def test_a_name_means_ones_own_first(cast: Cast, model: RegisteredModel) -> None:
    assert services.find_model("digits", by=cast.bob) == model
    with pytest.raises(Invalid, match="no such model"):
        services.find_model("digits", by=cast.charlie)
    own = services.create_model("digits", by=cast.bob)
    assert services.find_model("digits", by=cast.bob) == own
    assert services.find_model(str(model.pk), by=cast.bob) == model


def test_an_upload_has_no_run(cast: Cast, model: RegisteredModel) -> None:
    made = upload(model, cast.alice, metrics={"accuracy": 0.5}, model__safetensors=b"x")
    assert (made.run, made.metrics, made.scan["safetensors"]) == (None, {"accuracy": 0.5}, 1)
    with pytest.raises(Invalid, match="no file"):
        services.register_files(model, [], by=cast.alice)


def test_a_model_with_something_protected_is_not_deleted(
    cast: Cast, model: RegisteredModel, version: ModelVersion
) -> None:
    services.set_alias(model, "champion", version, by=cast.alice)
    services.protect(model, "alias", "champion", by=cast.alice)
    with pytest.raises(Conflict):
        services.archive_model(model, by=cast.alice)
    with pytest.raises(Conflict):
        services.archive_version(version, by=cast.alice)
    assert services.find_version(model, "champion") == version
