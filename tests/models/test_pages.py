"""The portal's pages of models: their cost does not grow with the rows, and they escape what people wrote."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.models import services
from apps.models.models import Alias, ModelVersion, MoveRequest, Protection, RegisteredModel
from apps.tracking.models import Run
from tests.models.conftest import upload
from tests.people import Cast, browser_of


def cost(client: Client, path: str) -> int:
    client.get(path)  # what is remembered of the session
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return len(queries)


@pytest.mark.parametrize("path", ["/models/", "/models/approvals/", "/models/{}/", "/models/{}/moves/"])
def test_the_cost_does_not_grow(cast: Cast, model: RegisteredModel, version: ModelVersion, path: str) -> None:
    services.protect(model, "alias", "champion", by=cast.mia)
    client, address = browser_of(cast.mia), path.format(model.pk)

    def more(number: int) -> None:
        other = services.create_model(f"m{number}", by=cast.alice, team=cast.team, tags={"a": "b"})
        services.protect(other, "alias", "champion", by=cast.alice)
        for target in (model, other):
            made = upload(target, cast.alice)
            services.set_alias(target, f"alias{number}", made, by=cast.alice)
            services.request_move(target, "alias", "champion", made, by=cast.alice, reason="x")

    more(1)
    one = cost(client, address)
    for number in (2, 3):
        more(number)
    assert cost(client, address) == one


def test_what_people_wrote_is_text(cast: Cast, run: Run) -> None:
    evil = "<script>alert(1)</script>"
    model = services.create_model(evil.replace("/", ""), by=cast.alice, description=f"{evil} **x**", tags={evil: evil})
    details = services.Details(
        description=evil,
        tags={evil: evil},
        environment=evil,
        datasets=[{"name": evil}],
        signature={"inputs": [{"name": evil}]},
    )
    services.register_run(model, run, "model", by=cast.alice, details=details)
    services.set_alias(model, "best", services.find_version(model, 1), by=cast.alice, reason=evil)
    client = browser_of(cast.alice)
    for path in ("", "moves/", "history/", "versions/1/", "versions/1/files/?file=MLmodel", "edit/"):
        body = client.get(f"/models/{model.pk}/{path}").content.decode()
        assert "<script>alert" not in body, path


def test_forms_move_ask_and_protect(cast: Cast, model: RegisteredModel, version: ModelVersion) -> None:
    alice, mia = browser_of(cast.alice), browser_of(cast.mia)

    def post(client: Client, path: str, **fields: Any) -> str:
        return str(client.post(f"/models/{path}", fields, follow=True).content.decode())

    assert "beta points to version 1 now." in post(alice, f"{model.pk}/alias/", alias="beta", version="1", do="set")
    rule = {"target": "alias", "name": "champion", "approvals": "1", "separate_duties": "on", "reason": "served"}
    said = post(mia, f"{model.pk}/protect/", **rule, thresholds="accuracy > much")
    assert "is not like" in said
    assert not Protection.objects.exists()
    assert "The rule holds from now on." in post(
        mia, f"{model.pk}/protect/", **rule, thresholds="accuracy >= 0.9\nloss < 3"
    )
    assert [one["operator"] for one in Protection.objects.get().thresholds] == [">=", "<"]
    said = post(alice, f"{model.pk}/alias/", alias="champion", version="1", do="set", reason="good")
    assert "loss must be below 3; it is nan." in said  # it can never be met
    post(mia, f"{model.pk}/protect/", **rule, thresholds="accuracy >= 0.9")
    assert "waits for others to approve it" in post(
        alice, f"{model.pk}/alias/", alias="champion", version="1", do="set", reason="good"
    )
    asked = MoveRequest.objects.get()
    post(mia, f"approvals/{asked.pk}/answer/", do="approve", reason="")
    assert Alias.objects.get(name="champion").version == version
    assert "The rule is lifted." in post(mia, f"{model.pk}/rules/{Protection.objects.get().pk}/lift/", reason="done")
    assert "beta points to nothing now." in post(alice, f"{model.pk}/alias/", alias="beta", version="1", do="remove")
    assert "Version 1 is in Staging now." in post(alice, f"{model.pk}/versions/1/stage/", stage="Staging")
    assert "There is no such version." in post(alice, f"{model.pk}/alias/", alias="beta", version="77", do="set")
