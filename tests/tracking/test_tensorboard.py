"""TensorBoard's event files among the artifacts: written by a real writer, cut, broken, hostile."""

import io
import math
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboardX import SummaryWriter

from apps.core import blobs
from apps.tracking import services, tensorboard, tfevents
from apps.tracking.models import Artifact, Run
from tests.people import Cast, browser_of
from tests.tracking.conftest import client_of

FILE = "events.out.tfevents.1700000000.host"


def written(folder: Path, write: Callable[[Any], None], **options: Any) -> bytes:
    """Return the bytes of the file that TensorBoard's form of writer makes."""
    with SummaryWriter(str(folder), **options) as writer:
        write(writer)
    (found,) = folder.glob(f"{tfevents.NAME}*")
    return found.read_bytes()


def record(data: bytes) -> bytes:
    def masked(part: bytes) -> int:
        check = google_crc32c.value(part)
        return (((check >> 15) | (check << 17 & 0xFFFFFFFF)) + 0xA282EAD8) & 0xFFFFFFFF

    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(head)) + data + struct.pack("<I", masked(data))


def event(step: int = 1, *, time: float = 5.0, **fields: Any) -> Any:
    made = tfevents._EVENT(step=step, wall_time=time)
    value = made.summary.value.add(tag=fields.pop("tag", "loss"))
    for name, given_value in fields.items():
        if name == "tensor":
            value.tensor.CopyFrom(type(value.tensor)(**given_value))
        else:
            setattr(value, name, given_value)
    return made


def read(data: bytes) -> tfevents.Events:
    return tfevents.read(io.BytesIO(data).read)


def keep(run: Run, cast: Cast, data: bytes, path: str = FILE) -> Artifact:
    return services.save_artifact(run, path, [data], by=cast.alice)[0]


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    tensorboard._scalars.cache_clear()


def test_what_a_real_writer_wrote_is_read(tmp_path: Path) -> None:
    def write(writer: Any) -> None:
        for step in range(1500):
            writer.add_scalar("train/loss", 1 / (step + 1), step, walltime=1_700_000_000 + step)
        writer.add_scalars("both", {"a": 1.0}, 3)
        writer.add_scalar("odd", math.nan, 1)
        writer.add_scalar("odd", math.inf, 2)
        writer.add_histogram("h", [1.0, 2.0, 3.0], 1)
        writer.add_text("words", "hello", 1)

    found = read(written(tmp_path, write))
    assert found.problem == ""
    assert set(found.tracks) >= {"train/loss", "odd"}
    assert not {"h", "words"} & set(found.tracks)
    track = found.tracks["train/loss"]
    assert list(track.steps) == list(range(1500))
    assert track.times[7] == 1_700_000_007_000
    assert track.values[3] == pytest.approx(0.25)
    assert (math.isnan(found.tracks["odd"].values[0]), found.tracks["odd"].values[1]) == (True, math.inf)


@pytest.mark.parametrize(
    ("dtype", "field", "packed"),
    [(1, "float_val", "<f"), (2, "double_val", "<d"), (3, "int_val", "<i"), (9, "int64_val", "<q")],
)
def test_the_new_form_of_a_scalar_is_read(dtype: int, field: str, packed: str) -> None:
    listed = event(1, tensor={"dtype": dtype, field: [2]})
    content = event(2, tensor={"dtype": dtype, "tensor_content": struct.pack(packed, 3)})
    many = event(3, tensor={"dtype": dtype, field: [1, 2]})
    other = event(4, tensor={"dtype": 7, "tensor_content": b"text"})
    found = read(b"".join(record(one.SerializeToString()) for one in (listed, content, many, other)))
    assert list(found.tracks["loss"].values) == [2.0, 3.0]


def test_a_file_that_breaks_off_shows_what_came_before(tmp_path: Path) -> None:
    data = written(tmp_path, lambda writer: [writer.add_scalar("loss", n, n) for n in range(5)])
    whole = read(data)
    assert (len(whole.tracks["loss"].steps), whole.problem) == (5, "")
    for cut in range(1, 60):
        found = read(data[:-cut])
        assert len(found.tracks["loss"].steps) in range(2, 5)
        assert found.problem in ("", "It breaks off.")
    assert read(b"").problem == ""


def test_a_wrong_checksum_ends_the_reading() -> None:
    good = record(event(1, simple_value=1.0).SerializeToString())
    bad = bytearray(record(event(2, simple_value=2.0).SerializeToString()))
    bad[20] ^= 1
    assert read(good + bytes(bad) + good).problem == "It is broken."
    assert len(read(good + bytes(bad) + good).tracks["loss"].steps) == 1
    bad = bytearray(good)
    bad[9] ^= 1
    assert read(bytes(bad)).problem == "It is no event file, or broken."


def test_an_event_that_is_none_is_passed_over() -> None:
    good = record(event(1, simple_value=1.0).SerializeToString())
    found = read(
        record(b"\xff" * 40)
        + good
        + record(b"")
        + record(event(1, time=math.nan, simple_value=2).SerializeToString())
        + good
    )
    assert (len(found.tracks["loss"].steps), found.problem) == (2, "")


def test_a_picture_is_passed_over_unread() -> None:
    large = record(b"\x00" * (tfevents._LARGEST_RECORD + 1))
    good = record(event(1, simple_value=1.0).SerializeToString())
    assert len(read(large + good).tracks["loss"].steps) == 1
    assert read(large[:-3]).problem == "It breaks off."


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = b"".join(record(event(1, tag=f"t{n}" + "x" * 500, simple_value=1.0).SerializeToString()) for n in range(300))
    found = read(tags)
    assert len(found.tracks) == tfevents.MOST_TAGS
    assert max(map(len, found.tracks)) <= tfevents.LONGEST_TAG
    one = record(event(1, simple_value=1.0).SerializeToString())
    for name, most in (("MOST_RECORDS", 10), ("MOST_POINTS", 10), ("MOST_BYTES", len(one) * 10)):
        with monkeypatch.context() as patch:
            patch.setattr(tfevents, name, most)
            found = read(one * 100)
            assert 10 <= len(found.tracks["loss"].steps) < 20, name
            assert found.problem == "Only its beginning was read: it is too large."


def test_a_promised_length_takes_no_memory() -> None:
    head = struct.pack("<Q", (1 << 63) + 5)
    tracemalloc.start()
    found = read(record(b"")[:0] + head + record(head)[-4:] + b"x" * 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.problem == "Only its beginning was read: it is too large."
    assert peak < 5 << 20


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_answered(data: bytes) -> None:
    assert read(data).tracks == {} or read(data).problem is not None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=8))
def test_any_sound_records_are_answered(parts: list[bytes]) -> None:
    """Framed as they should be, with anything within."""
    found = read(b"".join(record(part) for part in parts))
    assert found.problem == ""
    for track in found.tracks.values():
        assert len(track.steps) == len(track.times) == len(track.values)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_of_a_sound_file_is_answered(data: Any) -> None:
    whole = bytearray(b"".join(record(event(n, simple_value=n / 2).SerializeToString()) for n in range(6)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    found = read(bytes(whole))
    assert len(found.tracks.get("loss", tfevents.Track()).steps) <= 6


def test_curves_are_named_by_folder_and_joined(cast: Cast, run: Run, tmp_path: Path) -> None:
    for number, path in enumerate((FILE, f"logs/val/{FILE}", f"logs/val/{FILE}.2")):
        data = written(
            tmp_path / str(number),
            lambda writer, n=number: [writer.add_scalar("loss", n, 10 * n + s) for s in range(3)],
        )
        keep(run, cast, data, path)
    keep(run, cast, b"no event file", f"broken/{FILE}")
    keep(run, cast, b"words", "notes.txt")
    body = client_of(cast.bob).get(f"/api/v2/runs/{run.pk}/tensorboard/").json()
    assert [(one["key"], one["count"]) for one in body["series"]] == [("logs/val/loss", 6), ("loss", 3)]
    assert [point[0] for point in body["series"][0]["points"]] == [10, 11, 12, 20, 21, 22]
    assert body["problems"] == [{"path": f"broken/{FILE}", "problem": "It is no event file, or broken."}]
    assert body["left_out"] == 0


def test_a_long_curve_is_thinned_and_keeps_its_spike(cast: Cast, run: Run) -> None:
    values = [1.0] * 5000
    values[1234] = 99.0
    data = b"".join(record(event(n, simple_value=value).SerializeToString()) for n, value in enumerate(values))
    keep(run, cast, data)
    (curve,) = services.read_event_curves(run).curves
    assert (len(curve.points), curve.count, curve.downsampled) == (1000, 5000, True)
    assert max(point[4] or 0 for point in curve.points) == 99.0
    assert curve.points[-1][0] == 4999


def test_numbers_that_json_has_not_travel_by_name(cast: Cast, run: Run) -> None:
    keep(
        run,
        cast,
        b"".join(
            record(event(n, simple_value=value).SerializeToString()) for n, value in enumerate((math.nan, math.inf))
        ),
    )
    (series,) = client_of(cast.alice).get(f"/api/v2/runs/{run.pk}/tensorboard/").json()["series"]
    assert [point[2:] for point in series["points"]] == [["NaN", None, None], ["Infinity"] * 3]


def test_a_file_is_read_once(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(run, cast, record(event(1, simple_value=1.0).SerializeToString()))
    first = services.read_event_curves(run)
    monkeypatch.setattr(blobs, "open_blob", lambda *_: pytest.fail("it was read again"))
    assert services.read_event_curves(run) == first


def test_lost_bytes_and_too_many_files_are_said(cast: Cast, run: Run) -> None:
    lost = keep(run, cast, record(event(1, simple_value=1.0).SerializeToString()), f"a/{FILE}")
    Artifact.objects.filter(pk=lost.pk).update(sha256="0" * 64)
    for number in range(tensorboard.MOST_FILES + 2):
        keep(run, cast, record(event(number, simple_value=1.0).SerializeToString()), f"n{number:02d}/{FILE}")
    found = services.read_event_curves(run)
    assert found.problems == [(f"a/{FILE}", "Its bytes are missing from the store.")]
    assert (len(found.curves), found.left_out) == (tensorboard.MOST_FILES - 1, 3)


def test_files_too_large_together_are_said(cast: Cast, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    data = record(event(1, simple_value=1.0).SerializeToString())
    monkeypatch.setattr(tensorboard, "_MOST_BYTES", len(data) * 2)
    for number in range(3):
        keep(run, cast, data, f"n{number}/{FILE}")
    found = services.read_event_curves(run)
    assert [curve.key for curve in found.curves] == ["n0/loss", "n1/loss"]
    assert found.problems == [(f"n2/{FILE}", "It was not read: together the files are too large.")]


def test_who_may_not_see_the_run_learns_nothing(cast: Cast, run: Run) -> None:
    keep(run, cast, record(event(1, tag="sesame", simple_value=1.0).SerializeToString()))
    answer = client_of(cast.charlie).get(f"/api/v2/runs/{run.pk}/tensorboard/")
    assert answer.status_code == 404
    assert b"sesame" not in answer.content
    assert browser_of(cast.charlie).get(f"/runs/{run.pk}/metrics/").status_code == 404


def test_the_page_asks_for_them_only_where_there_are_some(cast: Cast, run: Run) -> None:
    page = f"/runs/{run.pk}/metrics/"
    assert b'id="events"' not in browser_of(cast.bob).get(page).content
    keep(run, cast, b"", f"logs/{FILE}")
    assert b'id="events"' in browser_of(cast.bob).get(page).content
