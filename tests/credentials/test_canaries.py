"""Secrets are planted through every door, used, replaced and refused; then everything that is kept or said is searched."""

import base64
import hashlib
import json
import logging
from typing import Any

import orjson
import pytest
from django.test import Client

from apps.access.models import IdempotencyRecord
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.audit.models import AuditEvent
from apps.compute.contract import WorkloadSpec
from apps.credentials.models import Credential, SecretValue
from tests import searching
from tests.factories import Stage
from tests.people import Cast, browser_of
from tests.searching import database, monitored

# One per door and outcome, so that a find says where it came from.
DOORS = ("api", "api-replace", "api-refused", "page", "page-replace", "page-refused", "admin", "admin-replace")
KEYTAB = b"\x05\x02\x00keytab-canary-7c1d\xff\xfe"
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAcanary-line-of-a-key-5b2e\n-----END OPENSSH PRIVATE KEY-----\n"


def canary(door: str) -> str:
    return f"canary-{door}-e83f"


VALUES = [*(canary(door).encode() for door in DOORS), KEYTAB, b"AAAAcanary-line-of-a-key-5b2e"]


def found_in(text: str) -> list[bytes]:
    return searching.found_in(text, VALUES)


class Planter:
    """Sends planted values through the doors, and keeps every answer."""

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        self.answers: list[str] = []
        self._bearer = accounts.issue_token(cast.alice, by=SYSTEM, name="t")[1]
        self._keys = 0

    def api(self, method: str, path: str, body: Any = None) -> Any:
        self._keys += 1
        headers = {"Authorization": f"Bearer {self._bearer}", "Idempotency-Key": f"key-{self._keys}"}
        content = {"data": json.dumps(body), "content_type": "application/json"} if body is not None else {}
        for _ in range(2):  # the second is the repeat of a client that lost the first answer
            response = getattr(Client(), method)(f"/api/v2/credentials/{path}", headers=headers, **content)
            self._keep(response)
        return response.json() if response.content else None

    def page(self, person: str, path: str, data: dict[str, Any]) -> None:
        client = browser_of(self.cast.people[person])
        self._keep(client.post(path, data))
        self._keep(client.get(path))
        self._keep(client.get("/credentials/"))

    def look(self, person: str, *paths: str) -> None:
        client = browser_of(self.cast.people[person])
        for path in paths:
            self._keep(client.get(path))

    def _keep(self, response: Any) -> None:
        assert response.status_code < 500, response.content
        self.answers.append(f"{response.status_code} {response.headers} {response.content.decode()}")


def plant(planter: Planter) -> None:
    where = {"host": "git.example.org", "username": "robot"}
    typed = {f"value_{name}": text for name, text in where.items()}
    no_uses = {"uses-TOTAL_FORMS": "0", "uses-INITIAL_FORMS": "0"}
    values = {**where, "token": canary("api")}
    made = planter.api("post", "", {"name": "api", "kind": "git_https", "values": values})
    assert made["name"] == "api"
    planter.api("post", f"{made['id']}/replace/", {"values": {"token": canary("api-replace")}})
    for wrong in ({**where, "token": [canary("api-refused")]}, {"token": canary("api-refused")}, canary("api-refused")):
        planter.api("post", "", {"name": "no", "kind": "git_https", "values": wrong})
    planter.api("patch", f"{made['id']}/", {"values": {"token": canary("api-refused")}, "expires_at": "no time"})
    keytab = base64.b64encode(KEYTAB).decode()
    planter.api("post", "", {"name": "kt", "kind": "keytab", "values": {"principal": "a@B.C", "keytab": keytab}})
    key = {"host": "h", "known_hosts": "h ssh-rsa AAAA", "private_key": PEM}
    planter.api("post", "", {"name": "key", "kind": "git_ssh", "values": key})
    new = "/credentials/new/?kind=git_https"
    planter.page("alice", new, {"name": "page", **typed, "value_token": canary("page")})
    page = Credential.objects.get(name="page")
    replaced = {**typed, "value_token": canary("page-replace")}
    planter.page("alice", f"/credentials/{page.pk}/replace/", replaced)
    planter.page("alice", new, {"name": "bad name", **typed, "value_token": canary("page-refused")})
    planter.page("charlie", f"/credentials/{page.pk}/replace/", {**typed, "value_token": canary("page-refused")})
    place = "/admin/credentials/credential/"
    given = {"name": "admin", "owner": planter.cast.alice.pk, "visibility": "private", **typed, **no_uses}
    planter.page("sre", f"{place}add/?kind=git_https", {**given, "value_token": canary("admin")})
    stored = Credential.objects.get(name="admin")
    changed = {"name": "admin", "visibility": "private", **typed, **no_uses, "value_token": canary("admin-replace")}
    planter.page("sre", f"{place}{stored.pk}/change/", changed)
    for row in Credential.objects.all():
        planter.look("alice", f"/credentials/{row.pk}/", f"/api/v2/credentials/{row.pk}/")
        planter.look("sre", f"{place}{row.pk}/change/", f"{place}{row.pk}/history/", place)


def test_a_planted_secret_is_found_nowhere(
    committed: None,
    cast: Cast,
    stage: Stage,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    planter = Planter(cast)
    with monitored() as hints:
        plant(planter)
        wanted = [{"name": name} for name in ("api", "kt", "key", "page", "admin")]
        given: list[WorkloadSpec] = []
        stage.world.plan = lambda _name, spec: given.append(spec)
        experiment = stage.submit(cast.alice, credentials=wanted)
        stage.finish()
        page = f"/experiments/{experiment.pk}/"
        tabs = [f"{page}{tab}" for tab in ("", "logs/", "events/")]
        planter.look("alice", *tabs, f"/api/v2{page}", f"/api/v2{page}events/")
        planter.look("sre", f"/admin/compute/workload/{experiment.workload_id}/change/")
    assert Credential.objects.count() == 5
    assert {row.version for row in Credential.objects.filter(name__in=["api", "page", "admin"])} == {2}
    assert SecretValue.objects.count() == 5
    assert AuditEvent.objects.filter(action="use").count() == 5
    assert IdempotencyRecord.objects.exists()
    assert KEYTAB in given[0].secrets.values()
    assert any("compute" in line for line in hints), f"nothing was monitored: {hints}"
    said = capfd.readouterr()
    everything = {
        "answers": "\n".join(planter.answers),
        "database": database(),
        "hints": "\n".join(hints),
        "log": caplog.text + said.out + said.err,
    }
    assert {place: found_in(text) for place, text in everything.items()} == {place: [] for place in everything}


def test_the_search_finds_what_is_there(cast: Cast) -> None:
    Credential.objects.create(owner=cast.alice, name="a", kind="generic", public={"x": canary("api")})
    AuditEvent.objects.create(actor_label="x", origin="test", action="x", reason=KEYTAB.hex())
    assert found_in(database()) == [canary("api").encode(), KEYTAB]


def test_a_record_of_a_request_does_not_tell_a_guess_from_another(cast: Cast) -> None:
    """A plain hash of the body would: whoever reads it can try passwords until the hash is the same."""

    planter = Planter(cast)
    body = {"name": "a", "kind": "generic", "values": {"value": "hunter22"}}
    planter.api("post", "", body)
    text = orjson.dumps(["POST", "/api/v2/credentials/", body], option=orjson.OPT_SORT_KEYS)
    assert IdempotencyRecord.objects.get().request_sha256 != hashlib.sha256(text).hexdigest()
