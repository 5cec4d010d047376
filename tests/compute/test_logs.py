"""The log store: every byte once, in order, at its offset, whoever copied it and however it was merged."""

import time
import zlib

import pytest

from apps.compute import logs, registry
from apps.compute.models import Attempt, LogChunk
from apps.compute.reconcile import collect, finalize
from apps.compute.reconcile.collect import Collector
from apps.core import announcements
from apps.experiments.models import Experiment
from tests.factories import Stage, attempt_of, fresh
from tests.people import Cast

LINES = b"".join(b"%06d %08x\n" % (number, zlib.crc32(b"%06d" % number)) for number in range(10_000))


@pytest.fixture
def attempt(cast: Cast, stage: Stage) -> Attempt:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    return attempt_of(experiment)


def stored(attempt: Attempt) -> bytes:
    return b"".join(bytes(chunk.data) for chunk in attempt.log_chunks.order_by("offset"))


def append_all(attempt: Attempt, data: bytes, sizes: list[int]) -> None:
    """Append `data` in pieces of the given sizes, over and over."""
    offset = 0
    while offset < len(data):
        piece = data[offset : offset + sizes[offset % len(sizes)]]
        assert logs.append(attempt.pk, offset, piece)
        offset += len(piece)
    attempt.refresh_from_db()


def check(data: bytes) -> None:
    """Each line is there once, in order, undamaged."""
    lines = data.splitlines()
    assert len(lines) == 10_000
    for number, line in enumerate(lines):
        name, checksum = line.split()
        assert (int(name), int(checksum, 16)) == (number, zlib.crc32(name))


def test_appending_is_a_compare_and_swap(attempt: Attempt) -> None:
    assert logs.append(attempt.pk, 0, b"hello ")
    assert not logs.append(attempt.pk, 0, b"hello ")
    assert not logs.append(attempt.pk, 3, b"lo world")
    assert not logs.append(attempt.pk, 7, b"world")
    assert logs.append(attempt.pk, 6, b"world")
    attempt.refresh_from_db()
    assert (stored(attempt), attempt.log_bytes) == (b"hello world", 11)


def test_nothing_is_added_after_the_end(attempt: Attempt) -> None:
    logs.append(attempt.pk, 0, b"all")
    logs.end(attempt.pk)
    assert not logs.append(attempt.pk, 3, b" and more")
    attempt.refresh_from_db()
    ended = attempt.log_ended_at
    logs.end(attempt.pk)
    attempt.refresh_from_db()
    assert (stored(attempt), attempt.log_ended_at) == (b"all", ended)


def test_compaction_keeps_every_byte(attempt: Attempt) -> None:
    data = LINES * 8  # 1.3 MB: more than one merged piece
    append_all(attempt, data, [997, 4096, 1])
    pieces = attempt.log_chunks.count()
    logs.end(attempt.pk)
    attempt.refresh_from_db()
    assert attempt.log_chunks.count() == 2 < pieces
    assert stored(attempt) == data
    offsets = list(attempt.log_chunks.order_by("offset").values_list("offset", flat=True))
    assert offsets == [0, len(bytes(attempt.log_chunks.get(offset=0).data))]


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("limit", [1, 7, 1000, 4096, 1 << 20])
def test_reading_at_any_offset(attempt: Attempt, limit: int, merged: bool) -> None:
    data = LINES[:9000]
    append_all(attempt, data, [100, 1, 2000, 17])
    if merged:
        logs.end(attempt.pk)
        attempt.refresh_from_db()
    for offset in [0, 1, 99, 100, 101, 2100, 8998, 8999]:
        piece = logs.read(attempt, offset=offset, limit=limit)
        assert piece.data == data[offset : offset + limit], offset
        assert piece.eof == (merged and offset + limit >= len(data)), offset


@pytest.mark.parametrize("offset", [10, 11, 10_000, 1 << 60])
def test_reading_past_the_end_gives_nothing(attempt: Attempt, offset: int) -> None:
    logs.append(attempt.pk, 0, b"0123456789")
    attempt.refresh_from_db()
    piece = logs.read(attempt, offset=offset, limit=100)
    assert (piece.offset, piece.data, piece.eof, piece.total) == (10, b"", False, 10)
    assert logs.read(attempt, offset=-5, limit=3).data == b"012"


def test_an_empty_log_ends(attempt: Attempt) -> None:
    logs.end(attempt.pk)
    attempt.refresh_from_db()
    assert logs.read(attempt, offset=0, limit=10) == logs.LogPiece(0, b"", eof=True, total=0)


def test_ten_thousand_lines_arrive_whole(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=5, log=LINES[:1000])
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    attempt, collector = attempt_of(experiment), Collector()
    for start in range(1000, len(LINES), 9973):
        collector.turn()
        stage.world.say(attempt.handle, LINES[start : start + 9973])
        collector.expect_news()
    stage.pass_time(6)
    stage.finish()
    attempt.refresh_from_db()
    check(stored(attempt))
    assert attempt.log_ended_at is not None


def test_two_collectors_copy_every_byte_once(attempt: Attempt, stage: Stage) -> None:
    first, second = (Attempt.objects.select_related("cluster").get() for _ in range(2))
    backend = registry.connect(attempt.cluster.kind, attempt.cluster.settings)
    for number in range(20):
        stage.world.say(attempt.handle, b"line %d\n" % number)
        for mine in (first, second, second, first):
            finalize.collect(backend, mine)
    assert stored(attempt) == b"".join(b"line %d\n" % number for number in range(20))


def test_a_long_log_is_drained_over_several_turns(cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finalize, "_PIECE", 1000)
    monkeypatch.setattr(finalize, "_PIECES_PER_TURN", 3)
    stage.plan(log=LINES[:10_000])
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    assert fresh(experiment).state == "succeeded"
    assert attempt_of(experiment).log_ended_at is None
    assert stage.world.workloads  # kept until every byte is here
    stage.finish()
    assert stored(attempt_of(experiment)) == LINES[:10_000]


def test_the_log_waits_for_its_cluster(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=5, log=b"said\n")
    experiment: Experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stage.pass_time(6)
    stage.world.say(attempt_of(experiment).handle, b"last words\n")
    stage.turn()
    assert stored(attempt_of(experiment)) == b"said\nlast words\n"


def test_a_cluster_that_goes_away_before_the_log_is_copied_keeps_it(
    cast: Cast, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.plan(duration=5, log=b"said\n")
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    stage.pass_time(6)
    with monkeypatch.context() as patch:
        patch.setattr(finalize, "drain", lambda _backend, _attempt: False)
        stage.turn()
    assert fresh(experiment).state == "succeeded"
    with stage.world.unreachable():
        stage.turn(times=2)
        assert fresh(experiment).next_reconcile_at is not None
    stage.finish()
    assert stored(attempt_of(experiment)) == b"said\n"


def test_a_log_over_its_limit_says_so(cast: Cast, stage: Stage, settings: pytest.FixtureRequest) -> None:
    settings.LOG_LIMIT_BYTES = 100  # type: ignore[attr-defined]
    stage.plan(log=b"x" * 1000)
    experiment = stage.submit(cast.alice)
    stage.finish()
    log = stored(attempt_of(experiment))
    assert log.startswith(b"x" * 100 + b"\n[fake]")
    assert log.count(b"x") == 100


def test_the_token_is_masked(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=None)
    experiment = stage.submit(cast.alice)
    stage.turn(times=2)
    handle = attempt_of(experiment).handle
    spec = stage.world.workloads[handle].spec
    assert spec is not None
    token = spec.secrets["FATHOM_TOKEN"].encode()
    stage.world.say(handle, b"it is " + token[:20])
    stage.world.say(handle, token[20:] + b", keep it\n")
    Collector().turn()
    assert stored(attempt_of(experiment)) == b"it is ***, keep it\n"


# --- the collector's own pace


def test_a_silent_log_is_looked_at_ever_more_seldom(
    attempt: Attempt, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    collector.turn()
    source = collector.sources[attempt.pk]
    for _ in range(40):
        source.due = 0.0
        collector.turn()
    assert 0.03 <= source.pause <= 0.4
    monkeypatch.setattr(collect, "_SHARE", 1e-9)  # as if a look took very long
    for _ in range(40):
        source.due = 0.0
        collector.turn()
    assert source.pause == pytest.approx(0.4)
    stage.world.say(attempt.handle, b"news\n")
    source.due = 0.0
    collector.turn()
    assert source.pause == pytest.approx(0.005)


def test_an_unreachable_cluster_is_left_alone_for_a_while(attempt: Attempt, stage: Stage) -> None:
    collector = Collector()
    with stage.world.unreachable():
        collector.turn()
    assert collector.sources[attempt.pk].due > time.monotonic() + 0.5
    assert not LogChunk.objects.exists()


def test_the_collector_forgets_what_has_ended(cast: Cast, stage: Stage) -> None:
    stage.plan(duration=5)
    stage.submit(cast.alice)
    stage.turn(times=2)
    collector = Collector()
    collector.turn()
    assert len(collector.sources) == 1
    stage.pass_time(6)
    stage.finish()
    collector.expect_news()
    assert 0 <= collector.turn() <= 1
    assert collector.sources == {}


def test_a_lost_announcement_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        async def group_send(self, group: str, message: object) -> None:
            raise OSError

    monkeypatch.setattr(announcements, "get_channel_layer", Broken)
    announcements.announce("run:1", {"type": "log.more"})
    monkeypatch.setattr(announcements, "get_channel_layer", lambda: None)
    announcements.announce("run:1", {"type": "log.more"})
    assert announcements.group_of("run:1") == "run.1"
