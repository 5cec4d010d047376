"""The submit form: every field, every sentence, without JavaScript."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from apps.access.principal import SYSTEM
from apps.experiments.models import CodeUpload, Experiment
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
from apps.tracking.models import Project
from tests.people import Cast, submit
from tests.portal.reading import text_of

pytestmark = pytest.mark.usefixtures("cluster")
Browser = Callable[[str], Client]
NEW = "/experiments/new/"


def archive(kind: str = "zip") -> SimpleUploadedFile:
    data = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(data, "w") as file:
            file.writestr("train.py", "print(1)")
        return SimpleUploadedFile("code.zip", data.getvalue())
    with tarfile.open(fileobj=data, mode="w:gz") as file:
        file.addfile(tarfile.TarInfo("train.py"))
    return SimpleUploadedFile("code.tar.gz", data.getvalue())


def newest() -> Experiment:
    found = Experiment.objects.order_by("-pk").first()
    assert found is not None
    return found


def test_all_that_was_typed_reaches_the_experiment(cast: Cast, as_person: Browser) -> None:
    form = {
        "name": "digits", "kind": "python", "command": "python train.py\r\n--lr 1", "cpu": "500m", "memory": "2Gi", "gpu": "0",
        "disk": "1Gi", "timeout": "30m", "grace": "5s", "retries": "2", "priority": "-3", "env": "A=1\r\nB=x=y\r\n\r\n",
        "tags": "size = big", "team": "vision", "visibility": "organization", "cluster": "fake", "new_project": "numbers",
    }  # fmt: skip
    response = as_person("alice").post(NEW, form)
    made = newest()
    assert (response.status_code, response["Location"]) == (302, f"/experiments/{made.pk}/")
    project = Project.objects.get(name="numbers")
    assert made.spec == {
        "name": "digits", "kind": "python", "command": "python train.py\n--lr 1", "timeout": "30m", "grace": "5s", "retries": 2,
        "priority": -3, "resources": {"cpu": "500m", "memory": "2Gi", "disk": "1Gi"}, "env": {"A": "1", "B": "x=y"},
        "tags": {"size": "big"}, "project": str(project.pk), "team": "vision", "visibility": "organization",
        "cluster": {"name": "fake"},
    }  # fmt: skip
    assert (made.run.project, made.run.team) == (project, cast.team)


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("command", "", "Say what to run."),
        ("command", "   ", "Say what to run."),
        ("cpu", "many", "Not a quantity"),
        ("memory", "4 GB", "quantity"),
        ("gpu", "-1", "quantity"),
        ("timeout", "soon", "Seconds, or hours"),
        ("grace", "10m", "at most 300 seconds"),
        ("retries", "99", "maximum"),
        ("retries", "x", "Enter a whole number."),
        ("priority", "1000", "maximum"),
        ("env", "NOEQUALS", "Line 1 should look like NAME=value."),
        ("env", "1BAD=1", "1BAD"),
        ("env", "FATHOM_X=1", "FATHOM_X"),
        ("tags", "=x", "Line 1 should look like"),
        ("name", "x" * 201, "too long"),
        ("project", "9b2f0d3c-0000-7000-8000-000000000000", "Select a valid choice."),
        ("team", "speech", "Select a valid choice."),
    ],
)
def test_a_mistake_is_said_beside_its_field_and_what_was_typed_stays(
    field: str,
    typed: str,
    sentence: str,
    cast: Cast,
    as_person: Browser,
) -> None:
    form = {"name": "kept-name", "command": "true", "cluster": "fake", field: typed}
    response = as_person("alice").post(NEW, form)
    assert response.status_code == 400
    assert any(sentence in problem for problem in response.context["form"].errors.get(field, [])), response.context[
        "form"
    ].errors
    page = text_of(response)
    assert f'id="id_{field}_error"' in page
    assert typed.strip() in page
    assert field == "name" or 'value="kept-name"' in page
    assert not Experiment.objects.exists()


def test_what_can_never_fit_is_refused_with_the_numbers(cast: Cast, as_person: Browser) -> None:
    quotas.set_limit(quota_node(cast.alice, None), "cpu", 2000, by=cast.sre)
    response = as_person("alice").post(NEW, {"command": "true", "cpu": "3", "cluster": "fake"})
    assert response.status_code == 400
    assert "may use at most 2 CPUs; this needs 3." in text_of(response)
    assert not Experiment.objects.exists()


@pytest.mark.parametrize(("kind", "format"), [("zip", "zip"), ("tar", "tar.gz")])
def test_an_archive_becomes_the_code(kind: str, format: str, cast: Cast, as_person: Browser) -> None:  # noqa: A002
    as_person("alice").post(NEW, {"command": "true", "cluster": "fake", "code_file": archive(kind)})
    upload = CodeUpload.objects.get(owner=cast.alice)
    assert upload.format == format
    assert newest().spec["code"] == {"upload": f"sha256:{upload.sha256}"}


def test_the_archive_is_kept_over_a_mistake(cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")
    response = client.post(NEW, {"command": "true", "cpu": "many", "cluster": "fake", "code_file": archive()})
    upload = CodeUpload.objects.get(owner=cast.alice)
    assert f'value="sha256:{upload.sha256}"' in text_of(response)
    client.post(NEW, {"command": "true", "cluster": "fake", "code_ref": f"sha256:{upload.sha256}"})
    assert newest().spec["code"] == {"upload": f"sha256:{upload.sha256}"}


@pytest.mark.parametrize("file", [("code.exe", b"MZ"), ("code.zip", b"not a zip"), ("code.tar.gz", b"PK\x03\x04")])
def test_only_archives_are_taken(file: tuple[str, bytes], cast: Cast, as_person: Browser) -> None:
    response = as_person("alice").post(NEW, {"command": "true", "code_file": SimpleUploadedFile(*file)})
    assert response.context["form"].errors["code_file"] == ["A .zip or .tar.gz archive, please."]
    assert not CodeUpload.objects.exists()


def test_somebody_elses_upload_cannot_be_named(cast: Cast, as_person: Browser) -> None:
    as_person("alice").post(NEW, {"command": "true", "cluster": "fake", "code_file": archive()})
    reference = f"sha256:{CodeUpload.objects.get().sha256}"
    response = as_person("charlie").post(NEW, {"command": "true", "cluster": "fake", "code_ref": reference})
    assert response.context["form"].errors["code_file"] == ["You have not uploaded this code. Upload it first."]
    assert Experiment.objects.filter(run__owner=cast.charlie).count() == 0


def test_a_copy_starts_with_what_the_original_was(cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")
    client.post(
        NEW, {"name": "first", "command": "sleep 1", "timeout": "30m", "cluster": "fake", "code_file": archive()}
    )
    original = newest()
    page = client.get(f"/experiments/{original.pk}/clone/")
    form = {
        name: field.value() or ""
        for name, field in ((one.name, one) for one in page.context["form"])
        if name != "code_file"
    }
    assert (form["name"], form["timeout"], form["code_ref"]) == ("first", "30m", original.spec["code"]["upload"])
    client.post(f"/experiments/{original.pk}/clone/", form | {"timeout": "", "name": "second"})
    copy = newest()
    assert (copy.cloned_from, copy.spec["name"], copy.spec["code"]) == (original, "second", original.spec["code"])
    assert "timeout" not in copy.spec


def test_a_viewer_may_copy_with_the_code_and_an_outsider_may_not(cast: Cast, as_person: Browser) -> None:
    as_person("alice").post(NEW, {"command": "true", "team": "vision", "cluster": "fake", "code_file": archive()})
    original = newest()
    form: dict[str, Any] = {"command": "true", "cluster": "fake", "code_ref": original.spec["code"]["upload"]}
    assert as_person("bob").post(f"/experiments/{original.pk}/clone/", form).status_code == 302
    assert (newest().run.owner, newest().run.team) == (cast.bob, None)
    assert as_person("charlie").post(f"/experiments/{original.pk}/clone/", form).status_code == 404
    assert not CodeUpload.objects.filter(owner=cast.charlie).exists()


@pytest.mark.parametrize(
    ("changes", "verdict", "words"),
    [
        ({}, "fits", "It fits now"),
        ({"cpu": "3"}, "never", "at most 2 CPUs; this needs 3"),
        ({"cluster": ""}, "fits", "would start on fake"),
        ({"priority": "-5"}, "waits", "what you queued before goes first"),
    ],
)
def test_the_preview_says_what_would_become_of_it(
    changes: dict[str, str], verdict: str, words: str, cast: Cast, as_person: Browser
) -> None:
    quotas.set_limit(quota_node(cast.alice, None), "cpu", 2000, by=cast.sre)
    if verdict == "waits":
        submit(cast.alice)
    response = as_person("alice").post("/experiments/new/preview/", {"command": "true", "cluster": "fake", **changes})
    forecast = response.context["forecast"]
    assert (forecast.verdict, words in forecast.sentence) == (verdict, True), forecast
    assert "fathom run" in text_of(response)


def test_the_preview_waits_when_a_limit_is_full(cast: Cast, as_person: Browser) -> None:
    node = quota_node(cast.alice, None)
    quotas.set_limit(node, "cpu", 2000, by=SYSTEM)
    quotas.reserve("test", node, [], {"cpu": 1500})
    response = as_person("alice").post("/experiments/new/preview/", {"command": "true", "cluster": "fake"})
    assert response.context["forecast"].verdict == "waits"
    assert "uses 1.5 of 2 CPUs, and this needs 1" in response.context["forecast"].sentence


def test_the_preview_says_what_is_wrong_so_far(cast: Cast, as_person: Browser) -> None:
    client = as_person("alice")
    response = client.post("/experiments/new/preview/", {"command": "true", "cpu": "many"})
    assert "cpu: Not a quantity" in text_of(response)
    assert "Write a command" in text_of(client.post("/experiments/new/preview/", {"command": ""}))
