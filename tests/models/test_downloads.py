"""Files leave by the content origin only, by a ticket that is judged again, one by one or as a zip."""

import io
import time
import zipfile

import pytest

from apps.accounts.models import ApiToken
from apps.models import downloads, services
from apps.models.files import open_file
from apps.models.models import ModelVersion
from apps.teams import services as teams
from apps.tracking import content, tickets
from apps.tracking import services as tracking
from tests.models.conftest import keep
from tests.people import Cast, in_browser, make_cast
from tests.tracking.conftest import Answer, call, client_of, outside

__all__ = ["outside"]

pytestmark = pytest.mark.usefixtures("outside")


@pytest.fixture
def people() -> Cast:
    return make_cast()


@pytest.fixture
def version(people: Cast) -> ModelVersion:
    run = tracking.create_run(
        tracking.create_project("p", by=people.alice, team=people.team), by=people.alice, name="r"
    )
    keep(run, people.alice, "m/weights.bin", b"w" * 700_000)
    keep(run, people.alice, "m/sub/index.html", b"<script>alert(1)</script>")
    model = services.create_model("digits", by=people.alice, team=people.team)
    return services.register_run(model, run, "m", by=people.alice)


def fetch(link: str, method: str = "GET", **headers: str) -> Answer:
    return call(content.application, method, link, headers=headers)


def test_a_file_and_a_part_of_it(people: Cast, version: ModelVersion) -> None:
    link = downloads.file_link(version.pk, "weights.bin", by=in_browser(people.bob))
    whole = fetch(link)
    assert (whole.status, len(whole.body), whole.is_complete) == (200, 700_000, True)
    assert "attachment" in whole.headers["content-disposition"]
    assert "sandbox" in whole.headers["content-security-policy"]
    assert fetch(link, range="bytes=0-9").body == b"w" * 10


def test_all_of_them_as_a_zip(people: Cast, version: ModelVersion) -> None:
    answer = fetch(downloads.archive_link(version, by=in_browser(people.bob)))
    assert (answer.status, answer.is_complete, answer.headers["content-type"]) == (
        200,
        True,
        "application/zip",
    ) or answer
    assert "digits-1.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        assert archive.testzip() is None
        assert {name: len(archive.read(name)) for name in archive.namelist()} == {
            "sub/index.html": 25,
            "weights.bin": 700_000,
        }


def test_a_zip_that_lacks_a_file_is_cut(people: Cast, version: ModelVersion) -> None:
    from apps.core import blobs

    blobs.path_of(version.files.get(path="weights.bin").sha256).unlink()
    answer = fetch(downloads.archive_link(version, by=in_browser(people.bob)))
    assert not answer.is_complete  # the client sees a failure, not a smaller zip
    with pytest.raises(Exception, match="missing from the store"):
        open_file(version.files.get(path="weights.bin").sha256)


def test_a_link_is_for_one_file_of_one_kind(people: Cast, version: ModelVersion) -> None:
    bob = in_browser(people.bob)
    link = downloads.file_link(version.pk, "weights.bin", by=bob)
    for wrong in (
        link.replace("weights.bin", "sub/index.html"),
        link.replace("/model-files/", "/artifacts/"),
        link.replace("/model-files/", "/model-archives/"),
        tickets.link(version.pk, "weights.bin", by=bob).replace("/artifacts/", "/model-files/"),
        link.replace("ticket=", "ticket=1"),
    ):
        assert fetch(wrong).status == 401, wrong
    assert fetch(link.replace("/model-files/", "/nothing/")).status == 404
    old = tickets.link(version.pk, "weights.bin", by=bob, kind="model-files", now=time.time() - 400)
    assert fetch(old).status == 401


def test_who_may_not_see_it_any_more(people: Cast, version: ModelVersion) -> None:
    bob = in_browser(people.bob)
    links = [downloads.file_link(version.pk, "weights.bin", by=bob), downloads.archive_link(version, by=bob)]
    assert [fetch(link).status for link in links] == [200, 200]
    teams.remove_member(people.team, people.bob, by=people.mia)
    assert [fetch(link).status for link in links] == [404, 404]
    charlie = in_browser(people.charlie)  # a genuine ticket gives no right of its own
    assert fetch(downloads.file_link(version.pk, "weights.bin", by=charlie)).status == 404


def test_a_deleted_version_is_gone(people: Cast, version: ModelVersion) -> None:
    alice = in_browser(people.alice)
    links = [downloads.file_link(version.pk, "weights.bin", by=alice), downloads.archive_link(version, by=alice)]
    services.archive_version(version, by=people.alice)
    assert [fetch(link).status for link in links] == [404, 404]


def test_the_api_leads_there(people: Cast, version: ModelVersion) -> None:
    client = client_of(people.bob)
    root = f"/api/v2/models/{version.model_id}/versions/1/"
    one, all_ = client.get(f"{root}files/weights.bin"), client.get(f"{root}archive/")
    assert (one.status_code, all_.status_code) == (302, 302)
    assert [fetch(answer.headers["Location"]).status for answer in (one, all_)] == [200, 200]
    ApiToken.objects.filter(user=people.bob).update(scopes=["run:view"])
    assert fetch(one.headers["Location"]).status == 404
