from collections.abc import Callable

import pytest
from django.test import Client

from apps.audit.models import AuditEvent
from apps.credentials import crypto
from apps.credentials.models import Credential, SecretValue
from tests.credentials.conftest import CANARY
from tests.people import Cast, browser_of
from tests.portal.reading import text_of

Make = Callable[..., Credential]
PLACE = "/admin/credentials/credential/"
VALUES = {"value_host": "git.example.org", "value_username": "robot"}
NO_USES = {"uses-TOTAL_FORMS": "0", "uses-INITIAL_FORMS": "0"}


@pytest.fixture
def sre(cast: Cast) -> Client:
    return browser_of(cast.sre)


def _value(credential: Credential) -> bytes:
    return crypto.open_value(SecretValue.objects.select_related("data_key").get(credential=credential))


def test_an_operator_stores_one_for_somebody(cast: Cast, sre: Client) -> None:
    assert "Git over https" in text_of(sre.get(f"{PLACE}add/"))
    given = {"name": "my-git", "owner": cast.alice.pk, "visibility": "private", **VALUES, **NO_USES}
    response = sre.post(f"{PLACE}add/?kind=git_https", {**given, "value_token": CANARY})
    assert response.status_code == 302, text_of(response)
    made = Credential.objects.get()
    assert (made.owner, made.created_by, made.public["username"]) == (cast.alice, cast.sre, "robot")
    assert _value(made) == CANARY.encode()
    assert CANARY not in text_of(sre.get(f"{PLACE}{made.pk}/change/"))
    assert CANARY not in text_of(sre.get(f"{PLACE}{made.pk}/history/"))


def test_what_is_refused_is_said_at_its_field_and_not_repeated(cast: Cast, sre: Client) -> None:
    given = {"name": "a b", "owner": cast.alice.pk, "visibility": "private", **VALUES, **NO_USES}
    for change in ({"value_token": CANARY}, {"name": "ok", "value_token": CANARY, "value_host": "no host"}):
        response = sre.post(f"{PLACE}add/?kind=git_https", {**given, **change})
        assert response.status_code == 200
        assert CANARY not in text_of(response)
        assert "errorlist" in text_of(response)
    assert not Credential.objects.exists()


def test_saving_without_a_value_keeps_it(cast: Cast, sre: Client, token: Make) -> None:
    made = token()
    given = {"name": "renamed", "visibility": "team", **VALUES, "value_token": "", **NO_USES}
    response = sre.post(f"{PLACE}{made.pk}/change/", given)
    assert response.status_code == 302, text_of(response)
    made.refresh_from_db()
    assert (made.name, made.version, _value(made)) == ("renamed", 1, CANARY.encode())


def test_writing_a_value_replaces_it(cast: Cast, sre: Client, token: Make) -> None:
    made = token()
    given = {"name": "my-git", "visibility": "team", **VALUES, "value_token": "fresh-canary-1", **NO_USES}
    assert sre.post(f"{PLACE}{made.pk}/change/", given).status_code == 302
    made.refresh_from_db()
    assert (made.version, _value(made)) == (2, b"fresh-canary-1")
    assert AuditEvent.objects.filter(action="replace", actor=cast.sre).count() == 1


def test_revoking_asks_for_a_reason_and_destroys_the_value(cast: Cast, sre: Client, token: Make) -> None:
    made = token()
    chosen = {"action": "revoke", "_selected_action": str(made.pk), "index": "0"}
    assert "Written to the audit trail" in text_of(sre.post(PLACE, chosen))
    assert SecretValue.objects.exists()
    sre.post(PLACE, {**chosen, "_confirmed": "1", "reason": "leaked in a screenshot"})
    assert not SecretValue.objects.exists()
    assert AuditEvent.objects.get(action="delete").reason == "leaked in a screenshot"
    page = text_of(sre.get(f"{PLACE}{made.pk}/change/"))
    assert "value_token" not in page
    assert sre.post(f"{PLACE}{made.pk}/change/", {"name": "x", "visibility": "team"}).status_code == 403
