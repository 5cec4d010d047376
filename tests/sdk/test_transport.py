"""Retries, errors, idempotency, pages, redirects: what every call goes through."""

import socket
import threading
import time
from pathlib import Path

import pytest

import fathom
from fathom.client import Client
from fathom.transport import retry_after_seconds
from tests.sdk.stub_platform import TOKEN, Answer, StubPlatform, problem


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, fathom.Invalid),
        (401, fathom.Unauthorized),
        (403, fathom.Forbidden),
        (404, fathom.NotFound),
        (409, fathom.Conflict),
        (412, fathom.Conflict),
        (413, fathom.Invalid),
        (422, fathom.Invalid),
        (500, fathom.ApiError),
    ],
)
def test_error_is_raised_as_its_class(
    platform: StubPlatform, client: Client, status: int, kind: type[fathom.ApiError]
) -> None:
    body = problem(status, "some_code", "A sentence.", errors={"name": ["Too long."]}, request_id="req-7")
    platform.fail("GET", "/me/", body)
    with pytest.raises(fathom.ApiError) as caught:
        client.me()
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.detail) == (status, "some_code", "A sentence.")
    assert (error.errors, error.request_id) == ({"name": ["Too long."]}, "req-7")
    assert len(platform.requests) == 1  # none of these is worth a second try


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_unavailable_is_retried_until_it_answers(platform: StubPlatform, client: Client, status: int) -> None:
    platform.fail("GET", "/me/", problem(status, "unavailable", "Later."), times=2)
    assert client.me().username == "alice"
    assert len(platform.requests) == 3


def test_retry_after_is_honoured(platform: StubPlatform, client: Client) -> None:
    platform.fail("GET", "/me/", Answer(429, {"code": "throttled"}, {"retry-after": "1"}))
    started = time.monotonic()
    client.me()
    assert time.monotonic() - started >= 1.0


def test_retry_after_beyond_the_budget_raises_at_once(platform: StubPlatform, client: Client) -> None:
    platform.fail("GET", "/me/", Answer(503, None, {"retry-after": "40"}), times=5)
    started = time.monotonic()
    with pytest.raises(fathom.Unavailable) as caught:
        client.me()
    assert caught.value.retry_after == 40
    assert time.monotonic() - started < 3


def test_retry_after_as_a_date() -> None:
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert retry_after_seconds("soon") is None
    assert retry_after_seconds(None) is None


def test_lost_answer_makes_one_experiment(platform: StubPlatform, client: Client) -> None:
    platform.fail("POST", "/experiments/", Answer(503), after_effect=True)
    client.experiments.create({"command": "true"})
    keys = [request.headers["idempotency-key"] for request in platform.seen("POST", "/experiments/")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(platform.experiments) == 1


def test_two_calls_have_two_keys(platform: StubPlatform, client: Client) -> None:
    client.experiments.create({"command": "true"})
    client.experiments.create({"command": "true"})
    assert len(platform.experiments) == 2


def test_idempotency_in_flight_is_retried_but_other_conflicts_are_not(platform: StubPlatform, client: Client) -> None:
    platform.fail("POST", "/experiments/", problem(409, "idempotency_in_flight", "Still running."))
    client.experiments.create({"command": "true"})
    running = platform.add_experiment()
    with pytest.raises(fathom.Conflict):
        client.experiments.delete(running["id"])
    assert len(platform.seen("DELETE", running["id"])) == 1


def test_platform_that_starts_later_is_reached() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    late = StubPlatform(port)
    starter = threading.Timer(0.7, late.start)
    starter.start()
    try:
        assert Client(f"http://127.0.0.1:{port}", TOKEN, retry_seconds=10).me().username == "alice"
    finally:
        starter.join()
        late.stop()


def test_absent_platform_is_unavailable_with_its_address() -> None:
    with pytest.raises(fathom.Unavailable, match=r"http://127\.0\.0\.1:9 does not answer: .*refused") as caught:
        Client("http://127.0.0.1:9", TOKEN, retry_seconds=0).me()
    assert caught.value.code == "unreachable"


def test_something_that_is_no_platform_is_told(platform: StubPlatform, client: Client) -> None:
    platform.fail("GET", "/me/", Answer(200, b"<html>hello</html>"))
    with pytest.raises(fathom.ApiError, match="is this the address of a Fathom platform"):
        client.me()


def test_token_file_is_read_again_after_401(
    platform: StubPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("fth_run_old")
    monkeypatch.setenv("FATHOM_URL", platform.url)
    monkeypatch.setenv("FATHOM_TOKEN_FILE", str(file))
    opened = Client()
    with pytest.raises(fathom.Unauthorized):
        opened.me()
    file.write_text(f"{TOKEN}\n")
    assert opened.me().username == "alice"


def test_pages_are_followed_by_query_only(platform: StubPlatform, client: Client) -> None:
    """The stub's `next` names a host that does not exist."""
    platform.page_size = 2
    ids = [platform.add_experiment()["id"] for _ in range(5)]
    assert sorted(item.id for item in client.experiments.list()) == sorted(ids)
    assert len(platform.seen("GET", "/experiments/")) == 3


def test_filters_survive_the_page_turn(platform: StubPlatform, client: Client) -> None:
    platform.page_size = 1
    wanted = {platform.add_experiment(state=state)["id"] for state in ("failed", "lost")}
    platform.add_experiment(state="running")
    assert {item.id for item in client.experiments.list(state=["failed", "lost"])} == wanted


def test_first_asks_for_no_more_than_it_needs(platform: StubPlatform, client: Client) -> None:
    for _ in range(5):
        platform.add_experiment()
    assert len(client.experiments.list().first(3)) == 3
    assert [request.query["limit"] for request in platform.requests] == [["3"]]


def test_download_follows_to_the_content_origin_without_the_token(
    platform: StubPlatform, client: Client, tmp_path: Path
) -> None:
    run = platform.add_run()
    platform.artifacts[run["id"], "a/model.bin"] = b"x" * 3_000_000
    target = client.runs.get_artifact(run["id"], "a/model.bin", tmp_path / "sub" / "model.bin")
    assert target.read_bytes() == b"x" * 3_000_000
    assert "authorization" in platform.requests[0].headers
    assert "authorization" not in platform.seen("GET", "/content/")[0].headers
    assert [file.name for file in target.parent.iterdir()] == ["model.bin"]


def test_failed_download_leaves_no_file(platform: StubPlatform, client: Client, tmp_path: Path) -> None:
    run = platform.add_run()
    platform.fail("GET", "/content/", problem(403, "forbidden", "The link has expired."))
    with pytest.raises(fathom.Forbidden):
        client.runs.get_artifact(run["id"], "model.bin", tmp_path / "model.bin")
    assert not (tmp_path / "model.bin").exists()


def test_hostile_artifact_name_does_not_leave_the_folder(
    platform: StubPlatform, client: Client, tmp_path: Path
) -> None:
    run = platform.add_run()
    evil = {"results": [{"path": "../escaped", "is_dir": False, "size_bytes": 1}]}
    platform.fail("GET", "/artifacts/", Answer(200, evil))
    with pytest.raises(fathom.FathomError, match="cannot be written"):
        list(client.runs.get_artifacts(run["id"], tmp_path / "out"))
    assert not (tmp_path / "escaped").exists()


def test_unknown_fields_are_kept_in_raw(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment(invented="tomorrow")
    assert client.experiments.get(made["id"]).raw["invented"] == "tomorrow"


def test_non_finite_metrics_arrive_as_floats(platform: StubPlatform, client: Client) -> None:
    run = platform.add_run()
    platform.points[run["id"]] = [("loss", "NaN", 0, 0), ("loss", "-Infinity", 1, 1000)]
    (series,) = client.runs.metrics(run["id"], keys=["loss"])
    assert str(series.points[0].value) == "nan"
    assert series.points[1].value == float("-inf")


def test_curves_of_several_runs_and_those_of_event_files(platform: StubPlatform, client: Client) -> None:
    run = platform.add_run()
    platform.points[run["id"]] = [("loss", 0.5, 0, 0), ("loss", 0.25, 1, 1000)]
    series = client.runs.metrics(run["id"])
    assert client.runs.curves([run["id"], "01a2199e-0000-7000-8000-000000000000"], ["loss"]) == {run["id"]: series}
    assert client.runs.tensorboard(run["id"]) == series


def test_wait_returns_when_it_ended_and_times_out_otherwise(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment()
    with pytest.raises(TimeoutError):
        client.experiments.wait(made["id"], timeout=0.1)
    threading.Timer(0.4, made.update, [{"state": "failed", "exit_code": 3}]).start()
    assert client.experiments.wait(made["id"], timeout=10).exit_code == 3
