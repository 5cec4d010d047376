"""Following logs: over a websocket that breaks, and by polling where there is none."""

from typing import Any

import pytest

import fathom
from fathom import following
from fathom.client import Client
from fathom.following import LogText, StateChange
from tests.sdk.stub_platform import StubPlatform


def frame(data: str, offset: int, attempt: int = 1) -> dict[str, Any]:
    return {"type": "log", "offset": offset, "next": offset + len(data.encode()), "data": data, "attempt": attempt}


def ended(experiment: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A state frame that arrives as the experiment really ends."""
    final = {"state": "succeeded", "exit_code": 0, **fields}
    return {"type": "state", "state": final["state"], "attempt": 1, "_set": {experiment["id"]: final}}


def test_text_and_states_until_the_end(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment()
    eof = {"type": "eof", "attempt": 1, "total_bytes": 8}
    platform.socket_scripts.append([frame("one\n", 0), frame("two\n", 4), ended(made), eof])
    items = list(client.experiments.follow(made["id"]))
    assert "".join(item.text for item in items if isinstance(item, LogText)) == "one\ntwo\n"
    states = [item.experiment.state for item in items if isinstance(item, StateChange)]
    assert states == ["running", "succeeded"]
    assert platform.socket_queries == [{"offset": ["0"], "attempt": ["1"]}]


def test_broken_connection_is_resumed_at_the_next_byte(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment()
    platform.socket_scripts.append([frame("äöü\n", 0)])  # 7 bytes, then the connection breaks
    platform.socket_scripts.append(
        [frame("äöü\n", 0), frame("end\n", 7), ended(made), {"type": "eof", "attempt": 1, "total_bytes": 11}]
    )
    assert "".join(client.experiments.logs(made["id"], follow=True)) == "äöü\nend\n"
    assert platform.socket_queries[1]["offset"] == ["7"]


def test_gap_is_fetched(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment()
    platform.logs[made["id"], 1] = b"one\ntwo\nthree\n"
    platform.socket_scripts.append(
        [frame("one\n", 0), frame("three\n", 8), ended(made), {"type": "eof", "attempt": 1, "total_bytes": 14}]
    )
    assert "".join(client.experiments.logs(made["id"], follow=True)) == "one\ntwo\nthree\n"


def test_next_attempt_begins_at_zero(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment()
    again = {"type": "state", "state": "running", "attempt": 2, "_set": {made["id"]: {"attempt": 2}}}
    platform.socket_scripts.append([frame("first\n", 0), {"type": "eof", "attempt": 1, "total_bytes": 6}, again])
    platform.socket_scripts.append([frame("second\n", 0, 2), ended(made), {"type": "eof", "attempt": 2}])
    assert "".join(client.experiments.logs(made["id"], follow=True)) == "first\nsecond\n"
    assert platform.socket_queries[1] == {"offset": ["0"], "attempt": ["2"]}


def test_refused_socket_falls_back_to_polling(
    platform: StubPlatform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.05)
    made = platform.add_experiment()
    platform.logs[made["id"], 1] = b"one\n"
    seen = []
    for item in client.experiments.follow(made["id"]):
        if isinstance(item, LogText):
            seen.append(item.text)
            if len(seen) == 1:
                platform.logs[made["id"], 1] += b"two\n"
                made.update(state="failed", exit_code=4)
    assert "".join(seen) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("code", "kind"), [(4401, fathom.Unauthorized), (4403, fathom.Forbidden), (4404, fathom.NotFound)]
)
def test_closing_with_a_reason_raises_it(
    platform: StubPlatform, client: Client, code: int, kind: type[fathom.ApiError]
) -> None:
    made = platform.add_experiment()
    platform.socket_scripts.append(code)
    with pytest.raises(kind, match="Not for you"):
        list(client.experiments.follow(made["id"]))


def test_one_attempt_ends_with_its_log(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment(attempt=2)
    platform.socket_scripts.append([frame("old\n", 0), {"type": "eof", "attempt": 1, "total_bytes": 4}])
    assert "".join(client.experiments.logs(made["id"], follow=True, attempt=1)) == "old\n"


def test_experiment_that_never_started_ends(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment(state="stopped", attempt=0)
    assert list(client.experiments.logs(made["id"], follow=True)) == []


def test_absent_experiment_is_not_found(client: Client) -> None:
    with pytest.raises(fathom.NotFound):
        list(client.experiments.follow("0199aaaa-0000-7000-8000-000000000009"))


def test_whole_log_is_read_in_pieces(platform: StubPlatform, client: Client) -> None:
    made = platform.add_experiment(state="succeeded")
    text = "".join(f"line {number}\n" for number in range(20_000))
    platform.logs[made["id"], 1] = text.encode()
    assert "".join(client.experiments.logs(made["id"])) == text
