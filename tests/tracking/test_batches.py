"""What a batch may say. No database: this is the meaning alone."""

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from apps.core.errors import Invalid, TooLarge
from apps.tracking import batches
from apps.tracking.batches import UnsupportedMediaType, check, read


def metrics(*rows: dict[str, Any]) -> batches.Batch:
    return check({"metrics": list(rows)})


def problems(document: Any) -> dict[str, list[str]]:
    with pytest.raises(Invalid) as caught:
        check(document)
    return caught.value.errors


def point(**changes: Any) -> dict[str, Any]:
    return {"metrics": [{"key": "a", "value": 1}, {"key": "loss", "value": 1.0, **changes}]}


def test_rows_and_columns_mean_the_same() -> None:
    rows = [{"key": "b", "value": 1, "step": 3, "time": 5}, {"key": "a", "value": 2.5, "step": -1, "time": None}]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert check({"metrics": rows}) == check({"metrics": columns})
    batch = check({"metrics": rows})
    assert (batch.keys, batch.index, batch.values) == (["a", "b"], [2, 1], "{1,2.5}")
    assert (batch.steps, batch.times) == ([3, -1], [5000, None])


def test_columns_without_step_and_time() -> None:
    batch = check({"metrics": {"key": ["a", "a"], "value": [1, 2]}})
    assert (batch.steps, batch.times) == ([None, None], [None, None])


@pytest.mark.parametrize("empty", [{}, {"metrics": []}, {"metrics": {}}, {"metrics": {"key": [], "value": []}}])
def test_an_empty_batch_is_a_batch(empty: dict[str, Any]) -> None:
    assert check(empty).size == 0


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("NaN", '"NaN"'),
        ("Infinity", '"Infinity"'),
        ("-Infinity", '"-Infinity"'),
        (math.nan, '"NaN"'),
        (math.inf, '"Infinity"'),
        (-math.inf, '"-Infinity"'),
        (-0.0, "-0.0"),
        (5e-324, "5e-324"),
    ],
)
def test_values_are_written_exactly(value: Any, written: str) -> None:
    assert metrics({"key": "a", "value": value}).values == "{" + written + "}"


@pytest.mark.parametrize("value", [None, True, "nan", "1", "", [], {}, "inf", "null"])
def test_a_value_is_a_number(value: Any) -> None:
    assert list(problems(point(value=value))) == ["metrics[1].value"]


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_that_is_no_float_is_refused(value: int) -> None:
    assert problems(point(value=value)) == {"metrics[1].value": ["Out of range."]}


@pytest.mark.parametrize("step", [1.0, "1", True, [], 1 << 63, -(1 << 63) - 1])
def test_a_step_is_a_whole_number_of_64_bits(step: Any) -> None:
    assert list(problems(point(step=step))) == ["metrics[1].step"]


@pytest.mark.parametrize("step", [(1 << 63) - 1, -(1 << 63), 0])
def test_the_largest_steps(step: int) -> None:
    assert metrics({"key": "a", "value": 1, "step": step}).steps == [step]


@pytest.mark.parametrize(
    ("time", "microseconds"),
    [
        (0, 0),
        (-1, -1000),
        (1_700_000_000_123, 1_700_000_000_123_000),
        ("2026-01-31T12:00:00Z", 1_769_860_800_000_000),
        ("2026-01-31t13:00:00.000001+01:00", 1_769_860_800_000_001),
        ("2026-01-31 12:00:00.123456789Z", 1_769_860_800_123_456),
        (datetime(1970, 1, 1, tzinfo=UTC), 0),
    ],
)
def test_times(time: Any, microseconds: int) -> None:
    assert metrics({"key": "a", "value": 1, "time": time}).times == [microseconds]


@pytest.mark.parametrize(
    "time",
    [
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "20260131T120000Z",
        "now",
        1.5,
        True,
        10**15,
        -(10**15),
        "2026-01-31T25:00:00Z",
        "٢٠٢٦-01-31T12:00:00Z",
        datetime(2026, 1, 1),  # noqa: DTZ001 -- no zone is the point
        [],
    ],
)
def test_a_time_has_a_zone_and_a_date(time: Any) -> None:
    assert list(problems(point(time=time))) == ["metrics[1].time"]


@pytest.mark.parametrize("key", ["", "a" * 251, "a\x00b", chr(0xD800), None, 1, ["a"]])
def test_a_key_is_text(key: Any) -> None:
    assert list(problems({"metrics": [{"key": "a", "value": 1}, {"key": key, "value": 1}]})) == ["metrics[1].key"]


def test_odd_keys_are_keys() -> None:
    keys = ["ключ", "🙂" * 250, "a/b c", "'; DROP TABLE", "{}", '"', "\\", "null", "NULL", "%s"]
    assert check({"metrics": {"key": keys, "value": [1] * len(keys)}}).keys == sorted(keys)


def test_missing_and_unknown_fields_are_named() -> None:
    assert problems({"metrics": [{"key": "a"}]}) == {"metrics[0].value": ["This field is required."]}
    assert problems({"metrics": [{"key": "a", "value": 1, "valeu": 2}]}) == {"metrics[0]": ["Unknown: valeu."]}
    assert problems({"metrics": [{"key": "a", "value": 1}, 3]}) == {"metrics[1]": ["Expected an object."]}
    assert problems({"metrics": {"key": ["a"], "values": [1]}}).keys() == {"metrics.values", "metrics.value"}
    assert problems({"metric": []}) == {"metric": ["There is no such field."]}
    assert list(problems({"metrics": {"key": ["a", "b"], "value": [1]}})) == ["metrics.value"]
    assert list(problems({"metrics": {"key": ["a"], "value": [1], "step": []}})) == ["metrics.step"]
    assert list(problems({"metrics": {"key": "a", "value": [1]}})) == ["metrics.key"]


@pytest.mark.parametrize("document", [None, [], "x", 1, True])
def test_a_batch_is_an_object(document: Any) -> None:
    assert problems(document) == {}


@pytest.mark.parametrize("metrics", [None, 1, "x", True])
def test_metrics_are_rows_or_columns(metrics: Any) -> None:
    assert list(problems({"metrics": metrics})) == ["metrics"]


def test_every_wrong_field_is_told_at_once() -> None:
    document = {**point(value=None, step=1.5), "batch_id": "no", "params": {"a": None}, "tags": []}
    assert problems(document).keys() == {"metrics[1].value", "metrics[1].step", "batch_id", "params.a", "tags"}


def test_whole_numbers_beyond_64_bits_become_floats() -> None:
    assert float(metrics({"key": "a", "value": 10**300}).values[1:-1]) == 1e300


@pytest.mark.parametrize("batch_id", ["", "x", 1, [], {}, True])
def test_a_batch_id_is_a_uuid(batch_id: Any) -> None:
    assert list(problems({"batch_id": batch_id})) == ["batch_id"]


def test_a_batch_id_may_be_left_out() -> None:
    number = uuid4()
    assert check({"batch_id": None}).id is None
    assert check({"batch_id": str(number)}).id == number == check({"batch_id": number}).id
    assert isinstance(check({"batch_id": number.hex}).id, UUID)


def test_params_are_text_in_the_end() -> None:
    given = {"lr": 0.1, "n": 3, "on": True, "off": False, "name": "x", "empty": "", "nan": math.nan}
    texts = check({"params": given}).params
    assert texts == {
        "empty": "",
        "lr": "0.1",
        "n": "3",
        "name": "x",
        "nan": "NaN",
        "off": "false",
        "on": "true",
    }
    assert list(texts) == sorted(texts)


@pytest.mark.parametrize("value", [None, [], {}, "a\x00", "\udfff", "x" * 32_001, "é" * 16_001])
def test_a_param_is_text_of_some_length(value: Any) -> None:
    assert list(problems({"params": {"ok": "1", "p": value}})) == ["params.p"]


@pytest.mark.parametrize("name", ["", "a" * 251, "a\x00"])
def test_a_param_has_a_name(name: str) -> None:
    assert list(problems({"params": {name: "1"}})) == [f"params.{name[:250]}"]


def test_a_tag_is_shorter_than_a_param() -> None:
    check({"params": {"a": "x" * 32_000}, "tags": {"a": "é" * 16_000}})
    assert list(problems({"tags": {"a": "x" * 32_001}})) == ["tags.a"]


def test_limits_of_a_batch() -> None:
    most = {"key": ["a"] * 10_000, "value": [1] * 10_000}
    assert check({"metrics": most}).size == 10_000
    assert list(problems({"metrics": {"key": ["a"] * 10_001, "value": [1] * 10_001}})) == ["metrics"]
    assert list(problems({"metrics": [{"key": "a", "value": 1}] * 10_001})) == ["metrics"]
    assert len(check({"params": {str(n): n for n in range(500)}}).params) == 500
    assert list(problems({"params": {str(n): n for n in range(501)}})) == ["params"]


def test_a_body_is_json() -> None:
    assert read(b'{"params":{"a":1}}', content_type="application/json; charset=utf-8").params == {"a": "1"}
    with pytest.raises(UnsupportedMediaType):
        read(b"{}", content_type="text/plain")
    with pytest.raises(TooLarge):
        read(b" " * ((4 << 20) + 1), content_type="application/json")


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b'{"a":NaN}', b'"\\ud800"', b"\xff", b"[" * 3000 + b"]" * 3000])
def test_a_body_that_is_no_json(body: bytes) -> None:
    with pytest.raises(Invalid, match="Not valid JSON"):
        read(body, content_type="application/json")


def test_numbers_pass_unchanged() -> None:
    values = [0.1, 1 / 3, 1e-300, 1.7976931348623157e308, 123456789012345678, -5, 2**64 - 1]
    body = orjson.dumps({"metrics": {"key": ["a"] * len(values), "value": values}})
    text = read(body, content_type="application/json").values
    assert orjson.loads(f"[{text[1:-1]}]") == values
