"""The native handler and the view answer alike: the same request, the same status, the same body."""

import asyncio
import json
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from apps.access import grants
from apps.access.decision import Role
from apps.accounts import services as accounts
from apps.accounts.models import ApiToken, User
from apps.tracking import hot, judging, services
from apps.tracking.models import MetricBatch, MetricPoint, Param, Run
from tests.people import Cast
from tests.tracking.conftest import Answer, call, client_with, post_hot, run_token, stored, token_of, url

pytestmark = pytest.mark.usefixtures("outside")

JSON = {"content-type": "application/json"}
GOOD = b'{"metrics":[{"key":"loss","value":1.5,"step":0}]}'

BODIES: dict[str, bytes] = {
    "rows": GOOD,
    "columns": b'{"metrics":{"key":["a","b"],"value":[1,"NaN"],"step":[0,null]}}',
    "empty object": b"{}",
    "params and tags": '{"params":{"lr":0.1,"имя":"значение"},"tags":{"🙂":"x"}}'.encode(),
    "duplicate keys": b'{"params":{"a":1,"a":2},"metrics":[],"metrics":[{"key":"a","value":1}]}',
    "unicode key": '{"metrics":[{"key":"потери/обучение","value":1}]}'.encode(),
    "escaped key": b'{"metrics":[{"key":"\\u00e9\\n\\t","value":1}]}',
    "huge number": b'{"metrics":[{"key":"a","value":123456789012345678901234567890}]}',
    "tiny number": b'{"metrics":[{"key":"a","value":1e-400}]}',
    "largest step": b'{"metrics":[{"key":"a","value":1,"step":9223372036854775807}]}',
    "empty": b"",
    "null": b"null",
    "array": b"[]",
    "number": b"1",
    "not json": b"{metrics}",
    "cut off": b'{"metrics":[{"key":"a"',
    "trailing": b"{} {}",
    "nan": b'{"metrics":[{"key":"a","value":NaN}]}',
    "infinite": b'{"metrics":[{"key":"a","value":1e400}]}',
    "deep array": b'{"metrics":' + b"[" * 3000 + b"]" * 3000 + b"}",
    "deep object": b'{"params":' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
    "deep value": b'{"metrics":[{"key":"a","value":[[[[1]]]]}]}',
    "nul in a key": b'{"metrics":[{"key":"a\\u0000b","value":1}]}',
    "nul in a param": b'{"params":{"a":"x\\u0000"}}',
    "nul in a name": b'{"tags":{"a\\u0000":"x"}}',
    "raw nul": b'{"params":{"a":"x\x00"}}',
    "lone surrogate": b'{"metrics":[{"key":"\\ud800","value":1}]}',
    "not utf-8": b'{"params":{"a":"\xff\xfe"}}',
    "text value": b'{"metrics":[{"key":"a","value":"1"}]}',
    "boolean value": b'{"metrics":[{"key":"a","value":true}]}',
    "missing value": b'{"metrics":[{"key":"a"}]}',
    "step too large": b'{"metrics":[{"key":"a","value":1,"step":9223372036854775808}]}',
    "step beyond all": b'{"metrics":[{"key":"a","value":1,"step":99999999999999999999}]}',
    "fractional step": b'{"metrics":[{"key":"a","value":1,"step":1.5}]}',
    "bad time": b'{"metrics":[{"key":"a","value":1,"time":"2026-02-30T00:00:00Z"}]}',
    "time too large": b'{"metrics":[{"key":"a","value":1,"time":9999999999999999}]}',
    "bad batch id": b'{"batch_id":"x"}',
    "unknown field": b'{"metric":[]}',
    "unknown column": b'{"metrics":{"keys":[]}}',
    "ragged columns": b'{"metrics":{"key":["a"],"value":[]}}',
    "null metrics": b'{"metrics":null}',
    "list params": b'{"params":["a"]}',
    "null param": b'{"params":{"a":null}}',
    "long key": b'{"metrics":[{"key":"' + b"a" * 251 + b'","value":1}]}',
    "too many": b'{"metrics":{"key":[' + b'"a",' * 10_000 + b'"a"],"value":[' + b"1," * 10_000 + b"1]}}",
    "too many params": json.dumps({"params": {str(n): 1 for n in range(501)}}).encode(),
    "too large": b'{"params":{"a":"' + b"x" * (4 << 20) + b'"}}',
}


def post_view(run_id: object, body: bytes, **headers: str) -> Answer:
    """Send a batch to the view."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    token = headers.pop("authorization", "")
    client = client_with(token.removeprefix("Bearer "))
    if not token.startswith("Bearer "):
        client.defaults.pop("HTTP_AUTHORIZATION")
        headers |= {"authorization": token} if token else {}
    content_type = headers.pop("content-type", "")
    # CONTENT_TYPE again, because the client leaves it out of a request without a body.
    target = f"/api/v2/runs/{run_id}/log-batch/"
    reply = client.generic("POST", target, body, content_type, headers=headers, CONTENT_TYPE=content_type)
    return Answer(reply.status_code, {name.lower(): value for name, value in reply.headers.items()}, reply.content)


def both(run_id: object, body: bytes, **headers: str) -> tuple[Answer, Answer]:
    dashed = {name.replace("_", "-"): value for name, value in headers.items()}
    return post_hot(run_id, body, **dashed), post_view(run_id, body, **headers)


def alike(run_id: object, body: bytes, **headers: str) -> Answer:
    """Send a request both ways and return the answer, having checked that there is only one."""
    native, view = both(run_id, body, **headers)
    assert native.status == view.status
    assert without_id(native) == without_id(view)
    for name in ("content-type", "www-authenticate", "retry-after"):
        assert native.headers.get(name) == view.headers.get(name), name
    assert native.headers["x-request-id"]
    return native


def without_id(answer: Answer) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    if answer.status >= 400:
        assert body.pop("request_id")
    return body


@pytest.fixture
def bearer(cast: Cast) -> str:
    return f"Bearer {token_of(cast.alice)}"


def test_every_body_is_answered_alike(cast: Cast, run: Run, bearer: str, subtests: pytest.Subtests) -> None:
    accepted = list(BODIES)[: list(BODIES).index("empty")]
    for name, body in BODIES.items():
        with subtests.test(name):
            own = services.create_run(run.project, by=cast.alice, name=name)
            answer = alike(own.pk, body, authorization=bearer, content_type="application/json")
            expected = 413 if name == "too large" else 200 if name in accepted else 400
            assert answer.status == expected, answer.body[:500]
            if expected != 200:
                assert not MetricPoint.objects.filter(series__run=own).exists()
                assert not Param.objects.filter(run=own).exists()


def test_only_json_is_read(run: Run, bearer: str, subtests: pytest.Subtests) -> None:
    media_types = {
        "": 415,
        "text/plain": 415,
        "application/xml": 415,
        "multipart/form-data; boundary=x": 415,
        "application/jsonx": 415,
        "application/json; charset=utf-8": 200,
        "Application/JSON": 200,
    }
    for media_type, status in media_types.items():
        with subtests.test(media_type):
            assert alike(run.pk, GOOD, authorization=bearer, content_type=media_type).status == status


def test_who_is_nobody(run: Run, subtests: pytest.Subtests) -> None:
    unknown = f"Bearer fth_pat_{'0' * 49}"
    for authorization in (
        "",
        "Bearer",
        "Bearer ",
        "Bearer x",
        unknown,
        "Basic YTpi",
        "Token x",
        "Bearer é",
        "bearer\t",
    ):
        with subtests.test(authorization):
            answer = alike(run.pk, GOOD, authorization=authorization, content_type="application/json")
            assert (answer.status, answer.json()["code"]) == (401, "not_authenticated")
    assert not MetricPoint.objects.exists()


def test_a_token_that_has_ended(cast: Cast, run: Run, subtests: pytest.Subtests) -> None:
    for change in ("revoked_at", "expires_at", "disable"):
        with subtests.test(change):
            value = token_of(cast.alice)
            if change == "disable":
                User.objects.filter(pk=cast.alice.pk).update(is_active=False)
            else:
                ApiToken.objects.update(**{change: timezone.now() - timedelta(seconds=1)})
            answer = alike(run.pk, GOOD, authorization=f"Bearer {value}", content_type="application/json")
            assert answer.status == 401


def test_the_policy_is_the_same(cast: Cast, run: Run, subtests: pytest.Subtests) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    expected = {"alice": 200, "bob": 403, "charlie": 404, "dana": 200, "mia": 200, "olaf": 404, "sre": 200, "aud": 403}
    for person, status in expected.items():
        with subtests.test(person):
            before = MetricPoint.objects.count()
            value = token_of(cast.people[person])
            answer = alike(run.pk, GOOD, authorization=f"Bearer {value}", content_type="application/json")
            assert answer.status == status
            assert MetricPoint.objects.count() - before == (2 if status == 200 else 0)


def test_a_grant_of_viewing_is_not_enough(cast: Cast, run: Run) -> None:
    grants.grant(cast.dana, run, Role.VIEWER)
    answer = alike(run.pk, GOOD, authorization=f"Bearer {token_of(cast.dana)}", content_type="application/json")
    assert answer.status == 403
    assert "viewer" in answer.json()["detail"]


def test_scopes_narrow(cast: Cast, run: Run, subtests: pytest.Subtests) -> None:
    for scopes, status in {("read",): 403, ("run:view",): 403, ("run:log",): 404, ("run:log", "run:view"): 200}.items():
        with subtests.test(" ".join(scopes)):
            value = token_of(cast.alice, scopes=scopes)
            answer = alike(run.pk, GOOD, authorization=f"Bearer {value}", content_type="application/json")
            assert answer.status == status
            if status == 403:
                assert (answer.json()["code"], answer.json()["need"]) == ("insufficient_scope", ["run:log"])


def test_a_runs_token_reaches_its_run_only(cast: Cast, run: Run) -> None:
    other = services.create_run(run.project, by=cast.alice, name="other")
    headers = {"authorization": f"Bearer {run_token(run)}", "content_type": "application/json"}
    assert alike(run.pk, GOOD, **headers).status == 200
    assert alike(other.pk, GOOD, **headers).status == 404
    assert not MetricPoint.objects.filter(series__run=other).exists()


def test_absent_and_invisible_and_deleted_are_one_answer(cast: Cast, run: Run) -> None:
    headers = {"authorization": f"Bearer {token_of(cast.charlie)}", "content_type": "application/json"}
    gone = services.create_run(services.create_project("p", by=cast.charlie), by=cast.charlie, name="gone")
    services.archive_run(gone, by=cast.charlie)
    answers = [alike(run_id, GOOD, **headers) for run_id in (run.pk, uuid4(), gone.pk, "-" * 36)]
    assert {answer.status for answer in answers} == {404}
    assert len({json.dumps(without_id(answer), sort_keys=True) for answer in answers}) == 1


def test_what_may_not_be_seen_is_not_read(cast: Cast, run: Run) -> None:
    """A refusal does not depend on the body: nobody learns from it whether a run exists."""
    headers = {"authorization": f"Bearer {token_of(cast.charlie)}", "content_type": "text/plain"}
    assert alike(run.pk, b"{", **headers).status == 404


def test_a_repeat_is_recognised_across_both(run: Run, bearer: str) -> None:
    body = b'{"batch_id":"%s","metrics":[{"key":"loss","value":1,"step":0}]}' % str(uuid4()).encode()
    native, view = both(run.pk, body, authorization=bearer, content_type="application/json")
    assert [native.json()["duplicate"], view.json()["duplicate"]] == [False, True]
    assert len(stored(run)) == 1


def test_an_idempotency_key_is_recognised_across_both(cast: Cast, run: Run, bearer: str) -> None:
    headers = {"authorization": bearer, "content_type": "application/json", "idempotency_key": "k1"}
    native, view = both(run.pk, GOOD, **headers)
    assert [native.json()["duplicate"], view.json()["duplicate"]] == [False, True]
    answer = alike(run.pk, GOOD.replace(b"1.5", b"2.5"), **headers)
    assert (answer.status, answer.json()["code"]) == (422, "idempotency_mismatch")
    mia = {**headers, "authorization": f"Bearer {token_of(cast.mia)}"}
    assert not post_hot(run.pk, GOOD, **{name.replace("_", "-"): value for name, value in mia.items()}).json()[
        "duplicate"
    ]
    assert len(stored(run)) == 2


def test_an_ill_formed_idempotency_key(run: Run, bearer: str, subtests: pytest.Subtests) -> None:
    for key in ("", "x" * 256, "a\tb", "é"):
        with subtests.test(key):
            answer = alike(run.pk, GOOD, authorization=bearer, content_type="application/json", idempotency_key=key)
            assert (answer.status, list(answer.json()["errors"])) == (400, ["Idempotency-Key"])


def test_the_request_id_is_the_callers(run: Run, bearer: str) -> None:
    native, view = both(
        run.pk, b"{", authorization=bearer, content_type="application/json", x_request_id="my-request-1"
    )
    assert native.headers["x-request-id"] == view.headers["x-request-id"] == "my-request-1"
    assert native.json()["request_id"] == view.json()["request_id"] == "my-request-1"


def test_a_body_without_an_end_is_cut_off(run: Run, bearer: str) -> None:
    """Without Content-Length the body is counted as it comes."""
    body = BODIES["too large"]
    answer = call(
        hot.log_batch,
        "POST",
        url(run, "log-batch/"),
        headers={"authorization": bearer, **JSON},
        body=body,
        announce=False,
        run_id=str(run.pk),
    )
    assert answer.status == 413


def test_a_client_that_leaves_writes_nothing(run: Run, bearer: str) -> None:
    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError(message)

    messages = [{"type": "http.request", "body": GOOD, "more_body": True}, {"type": "http.disconnect"}]
    scope = {"headers": [(b"authorization", bearer.encode()), (b"content-type", b"application/json")], "client": None}
    asyncio.run(hot.log_batch(scope, receive, send, str(run.pk)))
    assert messages == []
    assert not MetricPoint.objects.exists()


def test_removed_access_stops_within_a_second(cast: Cast, run: Run) -> None:
    grants.grant(cast.dana, run, Role.EDITOR)
    headers = {"authorization": f"Bearer {token_of(cast.dana)}", **JSON}
    assert post_hot(run.pk, GOOD, **headers).status == 200
    grants.revoke(cast.dana, run)
    deadline = time.monotonic() + 1
    while (answer := post_hot(run.pk, GOOD, **headers)).status == 200:
        assert time.monotonic() < deadline
    assert answer.status == 404


def test_a_yes_is_kept_for_a_moment_and_a_no_is_not(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    judge = judging._judge

    def counting(*args: Any) -> int:
        asked.append(1)
        return judge(*args)

    monkeypatch.setattr(judging, "_judge", counting)
    monkeypatch.setattr(judging, "VERDICT_SECONDS", 60)
    for name, times in (("alice", 1), ("bob", 3)):
        asked.clear()
        headers = {"authorization": f"Bearer {token_of(cast.people[name])}", **JSON}
        for _ in range(3):
            post_hot(run.pk, GOOD, **headers)
        assert len(asked) == times, name


def test_without_a_database_the_answer_is_503(
    run: Run, bearer: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.core.asyncdb._TIMEOUT_SECONDS", 0.2)
    settings.DATABASE_URL = "postgresql://nobody@/nothing?host=/nonexistent"
    answer = post_hot(run.pk, GOOD, authorization=bearer, **JSON)
    assert (answer.status, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")


def test_connections_that_were_cut_are_replaced(run: Run, bearer: str) -> None:
    async def twice() -> list[int]:
        first = await _post(run, bearer)
        await asyncio.to_thread(_cut_others)
        return [first, await _post(run, bearer)]

    assert asyncio.run(_closing(twice())) == [200, 200]
    assert len(stored(run)) == 2


def _cut_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'fathom-async'"
        )
        assert cursor.rowcount >= 1
    connection.close()


async def _closing(work: Any) -> Any:
    from apps.core import asyncdb

    try:
        return await work
    finally:
        await asyncdb.close()


async def _post(run: Run, bearer: str) -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": GOOD}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"authorization", bearer.encode()), (b"content-type", b"application/json")]
    await hot.log_batch({"headers": headers, "client": ("127.0.0.1", 1)}, receive, send, str(run.pk))
    status: int = sent[0]["status"]
    return status


def test_many_batches_at_once(run: Run, bearer: str) -> None:
    async def all_at_once() -> list[int]:
        return list(await asyncio.gather(*(_post(run, bearer) for _ in range(40))))

    assert asyncio.run(_closing(all_at_once())) == [200] * 40
    assert len(stored(run)) == 40
    assert not MetricBatch.objects.exists()


def test_a_death_before_the_commit_leaves_nothing(
    run: Run, bearer: str, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    class DiedError(Exception):
        pass

    def die(name: str) -> None:
        raise DiedError(name)

    for body in (GOOD, GOOD[:-1] + b',"params":{"a":"1"}}', GOOD.replace(b',"step":0', b"")):
        with subtests.test(body.decode()):
            with monkeypatch.context() as patch:
                patch.setattr("apps.core.failpoints.hit", die)
                with pytest.raises(DiedError, match=r"^metrics\.before_commit$"):
                    post_hot(run.pk, body, authorization=bearer, **JSON)
            assert not MetricPoint.objects.exists()
            assert not Param.objects.exists()
    assert post_hot(run.pk, GOOD, authorization=bearer, **JSON).status == 200


def test_the_use_of_a_token_is_noted(cast: Cast, run: Run) -> None:
    _, value = accounts.issue_token(cast.alice, by=cast.alice, name="noted")
    assert post_hot(run.pk, GOOD, authorization=f"Bearer {value}", **JSON).status == 200
    noted = ApiToken.objects.get(name="noted")
    assert noted.last_used_at is not None
    assert noted.last_used_ip == "127.0.0.1"


def test_the_route_is_the_path_of_the_view() -> None:
    ((method, pattern, handler),) = hot.ROUTES
    assert (method, handler) == ("POST", hot.log_batch)
    number = str(uuid4())
    match = pattern.fullmatch(f"/api/v2/runs/{number}/log-batch/")
    assert match is not None
    assert match.groupdict() == {"run_id": number}
    assert pattern.fullmatch(f"/api/v2/runs/{number}/log-batch/x") is None
    assert pattern.fullmatch(f"/api/v2/runs/{number}\n/log-batch/") is None
