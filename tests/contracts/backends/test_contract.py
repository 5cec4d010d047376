"""The contract of `apps.compute.backends.base`, sentence by sentence, over every backend."""

import base64
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest

from apps.compute.backends.base import Inventory, Meter, Rejected, Unavailable
from apps.compute.contract import Phase, Resources, WorkloadSpec

from .harness import PATIENCE, SMALL, Behaviour, Cluster

SECOND = timedelta(seconds=1)
FOREVER = Behaviour(seconds=None)


# -- submit


def test_submit_starts_the_workload_once(cluster: Cluster) -> None:
    name = cluster.start(Behaviour())
    assert cluster.wait_final(name).phase is Phase.SUCCEEDED
    assert cluster.starts(name) == 1


def test_submit_again_at_any_time_does_nothing(cluster: Cluster) -> None:
    spec = cluster.spec(FOREVER)
    name = cluster.new_name()
    cluster.backend.submit(name, spec)
    cluster.backend.submit(name, spec)
    cluster.wait_begun(name)
    cluster.another_backend().submit(name, spec)
    assert cluster.look(name).phase is Phase.RUNNING
    cluster.backend.stop(name, grace=timedelta(0))
    ended = cluster.wait_final(name)
    cluster.another_backend().submit(name, spec)
    assert cluster.look(name) == ended
    assert cluster.starts(name) == 1


def test_submit_from_many_threads_is_one_start(cluster: Cluster) -> None:
    spec = cluster.spec(FOREVER)
    name = cluster.new_name()
    backends = [cluster.another_backend() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(backend.submit, name, spec) for backend in backends]:
            done.result()
    cluster.wait_begun(name)
    cluster.backend.stop(name, grace=timedelta(0))
    cluster.wait_final(name)
    assert cluster.starts(name) == 1


@pytest.mark.parametrize(
    "spec",
    [
        WorkloadSpec(command=(), resources=SMALL),
        WorkloadSpec(command=("true",), resources=Resources(cpu_milli=10**9)),
        WorkloadSpec(command=("true",), resources=Resources(memory_bytes=1 << 60)),
        WorkloadSpec(command=("true",), resources=Resources(gpu_milli=10**9)),
    ],
    ids=["no command", "too much cpu", "too much memory", "too many gpus"],
)
def test_submit_of_what_can_never_run_is_rejected(cluster: Cluster, spec: WorkloadSpec) -> None:
    name = cluster.new_name()
    with pytest.raises(Rejected):
        cluster.backend.submit(name, spec)
    assert cluster.look(name).phase is Phase.MISSING
    assert cluster.starts(name) == 0


# -- observe


def test_observe_answers_for_every_name(cluster: Cluster) -> None:
    running, ended, absent = cluster.start(FOREVER), cluster.start(Behaviour()), cluster.new_name()
    cluster.wait_final(ended)
    cluster.wait_running(running)
    seen = cluster.backend.observe([running, ended, absent])
    cluster.backend.stop(running, grace=timedelta(0))
    assert {name: seen[name].phase for name in seen} == {
        running: Phase.RUNNING,
        ended: Phase.SUCCEEDED,
        absent: Phase.MISSING,
    }
    assert cluster.backend.observe([]) == {}


def test_observe_of_an_unreachable_cluster_is_unknown_and_changes_nothing(cluster: Cluster) -> None:
    name = cluster.start(FOREVER)
    cluster.wait_running(name)
    with cluster.unreachable():
        assert {seen.phase for seen in cluster.backend.observe([name, "never-there"]).values()} == {Phase.UNKNOWN}
    assert cluster.look(name).phase is Phase.RUNNING
    cluster.backend.stop(name, grace=timedelta(0))
    cluster.wait_final(name)


def test_times_are_the_clusters_own_evidence(cluster: Cluster) -> None:
    """They lie between what our clock said before and after; who looks later, or from elsewhere, sees the same."""
    times = [cluster.now()]
    name = cluster.start(FOREVER)
    running = cluster.wait_running(name)
    assert running.finished_at is None
    times += [_known(running.started_at), cluster.now()]
    cluster.backend.stop(name, grace=timedelta(0))
    seen = cluster.wait_final(name)
    times += [_known(seen.finished_at), cluster.now()]
    assert times == sorted(times)
    assert seen.started_at == running.started_at
    cluster.let_time_pass()
    assert cluster.another_backend().observe([name])[name] == seen


def test_a_length_is_the_workloads_own(cluster: Cluster) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(seconds=0.2)))
    assert _known(seen.finished_at) - _known(seen.started_at) > timedelta(seconds=0.15)


def _known(at: datetime | None) -> datetime:
    assert at is not None
    return at


@pytest.mark.parametrize("exit_code", [1, 3, 127, 255])
def test_an_exit_code_is_told(cluster: Cluster, exit_code: int) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(exit_code=exit_code)))
    assert (seen.phase, seen.reason, seen.exit_code, seen.signal) == (Phase.FAILED, "ExitCode", exit_code, None)


def test_an_exit_code_above_128_is_not_a_signal(cluster: Cluster) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(exit_code=137)))
    assert (seen.reason, seen.exit_code, seen.signal) == ("ExitCode", 137, None)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGUSR1, signal.SIGPIPE])
def test_a_signal_is_told(cluster: Cluster, signum: int) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(signal=signum)))
    assert (seen.phase, seen.reason, seen.signal) == (Phase.FAILED, "Signal", signum)
    assert seen.exit_code == 128 + signum


def test_what_cannot_start_says_why(cluster: Cluster) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(starts=False)))
    assert (seen.phase, seen.reason, seen.started_at) == (Phase.FAILED, "StartFailed", None)
    assert "no such command" in seen.message


def test_a_time_limit_ends_it(cluster: Cluster) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(seconds=None, timeout=timedelta(seconds=0.3))))
    assert (seen.phase, seen.reason) == (Phase.FAILED, "TimedOut")
    assert _known(seen.finished_at) - _known(seen.started_at) < timedelta(seconds=PATIENCE)


def test_a_time_limit_that_is_not_reached_changes_nothing(cluster: Cluster) -> None:
    seen = cluster.wait_final(cluster.start(Behaviour(timeout=timedelta(minutes=1))))
    assert seen.phase is Phase.SUCCEEDED


# -- stop


def test_stop_ends_it(cluster: Cluster) -> None:
    name = cluster.start(FOREVER)
    cluster.wait_running(name)
    cluster.backend.stop(name, grace=timedelta(minutes=1))
    seen = cluster.wait_final(name)
    assert (seen.phase, seen.reason, seen.signal) == (Phase.FAILED, "Stopped", signal.SIGTERM)


def test_stop_uses_force_after_the_grace(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(seconds=None, ignores_stop=True, log="ready"))
    cluster.wait_said(name, b"ready")
    grace = timedelta(seconds=0.4)
    asked_at = cluster.now()
    cluster.backend.stop(name, grace=grace)
    seen = cluster.wait_final(name)
    assert (seen.phase, seen.reason, seen.signal) == (Phase.FAILED, "Stopped", signal.SIGKILL)
    assert _known(seen.finished_at) - asked_at >= grace


def test_stop_again_with_less_grace_shortens_it(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(seconds=None, ignores_stop=True, log="ready"))
    cluster.wait_said(name, b"ready")
    cluster.backend.stop(name, grace=timedelta(hours=1))
    cluster.backend.stop(name, grace=timedelta(hours=2))
    cluster.another_backend().stop(name, grace=timedelta(0))
    assert cluster.wait_final(name).reason == "Stopped"


def test_stop_before_submit_bars_the_name(cluster: Cluster) -> None:
    name = cluster.new_name()
    cluster.backend.stop(name, grace=SECOND)
    cluster.backend.stop(name, grace=SECOND)
    cluster.another_backend().submit(name, cluster.spec(Behaviour()))
    seen = cluster.look(name)
    assert (seen.phase, seen.reason, seen.started_at) == (Phase.FAILED, "Stopped", None)
    cluster.let_time_pass()
    assert cluster.starts(name) == 0
    assert cluster.look(name).phase is Phase.FAILED


def test_stop_of_an_ended_workload_leaves_its_verdict(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(exit_code=5))
    before = cluster.wait_final(name)
    cluster.backend.stop(name, grace=timedelta(0))
    cluster.let_time_pass()
    assert cluster.look(name) == before


def test_stop_and_submit_at_once_agree(cluster: Cluster) -> None:
    """Whoever comes first, the end is an end: it never runs on."""
    for _ in range(5):
        name, spec = cluster.new_name(), cluster.spec(FOREVER)
        with ThreadPoolExecutor(2) as pool:
            submitted = pool.submit(cluster.backend.submit, name, spec)
            stopped = pool.submit(cluster.another_backend().stop, name, grace=timedelta(0))
            submitted.result()
            stopped.result()
        assert cluster.wait_final(name).reason == "Stopped"
        assert cluster.starts(name) <= 1


# -- logs


def test_a_log_is_read_by_offset(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(log="one\ntwo\nthree\n"))
    cluster.wait_final(name)
    first = cluster.backend.read_log(name, offset=0, limit=4)
    rest = cluster.backend.read_log(name, offset=4, limit=100)
    assert (first.offset, first.data, first.eof) == (0, b"one\n", False)
    assert (rest.offset, rest.data, rest.eof) == (4, b"two\nthree\n", True)
    assert cluster.backend.read_log(name, offset=14, limit=100).eof


def test_a_log_has_no_end_while_it_may_grow(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(seconds=None, log="here\n"))
    cluster.wait_said(name, b"here\n")
    assert not cluster.backend.read_log(name, offset=0, limit=100).eof
    beyond = cluster.backend.read_log(name, offset=5, limit=100)
    assert (beyond.data, beyond.eof) == (b"", False)
    cluster.backend.stop(name, grace=timedelta(0))
    cluster.wait_final(name)
    assert cluster.backend.read_log(name, offset=5, limit=100).eof


def test_a_log_over_its_limit_ends_in_a_mark(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(log="x" * 5000 + "the end", max_log_bytes=1000))
    cluster.wait_final(name)
    log = cluster.log(name)
    assert log[:1000] == b"x" * 1000
    assert b"the rest is not kept" in log[1000:]
    assert b"the end" not in log


def test_a_log_at_its_limit_is_whole(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(log="x" * 1000, max_log_bytes=1000))
    cluster.wait_final(name)
    assert cluster.log(name) == b"x" * 1000


def test_secrets_are_masked(cluster: Cluster) -> None:
    value = "s3cr3t/+Value with space"
    basic = base64.b64encode(f"user:{value}".encode()).decode()
    said = f"raw {value}; base64 {base64.b64encode(value.encode()).decode()}; basic {basic}; harmless s3cr3\n"
    name = cluster.start(Behaviour(log=said, secrets={"PASSWORD": value}))
    cluster.wait_final(name)
    log = cluster.log(name).decode()
    assert value not in log
    assert base64.b64encode(value.encode()).decode().rstrip("=") not in log
    assert basic[8:-4] not in log
    assert log.startswith("raw ***; base64 ***")
    assert log.endswith("harmless s3cr3\n")


def test_binary_secrets_are_masked_in_every_printable_form(cluster: Cluster) -> None:
    value = bytes.fromhex("0502000000ff8081fe7f00") + b"KEYTAB" + bytes(range(200, 240))
    encoded = [
        base64.b64encode(value),
        base64.urlsafe_b64encode(value),
        value.hex().encode(),
        value.hex().upper().encode(),
    ]
    encoded.append(quote(value, safe="").encode())
    said = " ".join(form.decode() for form in encoded)
    name = cluster.start(Behaviour(log=f"{said}\n", secrets={"KEYTAB": value}))
    cluster.wait_final(name)
    log = cluster.log(name)
    assert not [form for form in encoded if form.rstrip(b"=") in log]
    assert log.replace(b"=", b"") == b" ".join([b"***"] * 5) + b"\n"


def test_reading_the_log_of_an_unreachable_cluster_fails(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(log="text"))
    cluster.wait_final(name)
    with cluster.unreachable(), pytest.raises(Unavailable):
        cluster.backend.read_log(name, offset=0, limit=10)


def test_the_log_of_an_absent_name_is_empty_and_over(cluster: Cluster) -> None:
    chunk = cluster.backend.read_log(cluster.new_name(), offset=0, limit=10)
    assert (chunk.data, chunk.eof) == (b"", True)


# -- health, inventory


def test_health_says_what_there_is(cluster: Cluster) -> None:
    health = cluster.backend.health()
    assert health.ok
    assert health.capacity["cpu"] > 0
    assert health.capacity["memory"] > 0
    assert health.capabilities <= type(cluster.backend).capabilities


def test_inventory_lists_what_is_not_removed(cluster: Cluster) -> None:
    backend = cluster.backend
    assert isinstance(backend, Inventory)
    running, ended, barred = cluster.start(FOREVER), cluster.start(Behaviour()), cluster.new_name()
    backend.stop(barred, grace=SECOND)
    cluster.wait_final(ended)
    assert {running, ended, barred} <= set(backend.list_names())
    for name in (running, ended, barred):
        backend.remove(name)
        backend.remove(name)
        assert cluster.look(name).phase is Phase.MISSING
    assert not {running, ended, barred} & set(backend.list_names())


def test_inventory_of_an_unreachable_cluster_is_never_partial(cluster: Cluster) -> None:
    backend = cluster.backend
    assert isinstance(backend, Inventory)
    name = cluster.start(Behaviour())
    cluster.wait_final(name)
    with cluster.unreachable(), pytest.raises(Unavailable):
        backend.list_names()
    assert name in backend.list_names()


def test_submit_and_stop_at_an_unreachable_cluster_fail_and_can_be_repeated(cluster: Cluster) -> None:
    name, spec = cluster.new_name(), cluster.spec(FOREVER)
    with cluster.unreachable():
        with pytest.raises(Unavailable):
            cluster.backend.submit(name, spec)
        with pytest.raises(Unavailable):
            cluster.backend.stop(name, grace=SECOND)
    cluster.backend.submit(name, spec)
    cluster.wait_running(name)
    cluster.backend.stop(name, grace=timedelta(0))
    cluster.wait_final(name)
    assert cluster.starts(name) <= 1


# -- what it uses


def test_what_runs_is_measured_and_only_grows(cluster: Cluster) -> None:
    backend = cluster.backend
    assert isinstance(backend, Meter)
    busy, ended = cluster.start(Behaviour(seconds=None, is_busy=True)), cluster.start(Behaviour())
    cluster.wait_final(ended)
    cluster.wait_begun(busy)
    used = [0.0]
    cluster.wait(busy, lambda _: _grew(backend, busy, used))
    assert set(backend.measure([busy, ended, cluster.new_name(), "../etc"])) == {busy}
    assert (backend.measure([busy])[busy].memory_bytes or 0) > 100_000
    backend.stop(busy, grace=SECOND)
    at_last = cluster.wait_final(busy).use
    assert at_last.cpu_seconds is not None
    assert at_last.cpu_seconds >= used[-1] - 0.02
    assert backend.measure([busy]) == {}


def _grew(backend: Meter, name: str, used: list[float]) -> bool:
    seconds = backend.measure([name])[name].cpu_seconds
    assert seconds is not None
    assert seconds >= used[-1]
    used.append(seconds)
    return len(used) > 3 and seconds > 0.1


def test_what_waits_uses_next_to_nothing(cluster: Cluster) -> None:
    name = cluster.start(Behaviour(seconds=0.3))
    use = cluster.wait_final(name).use
    assert use.cpu_seconds is not None
    assert use.cpu_seconds < 0.25


def test_an_unreachable_cluster_measures_nothing(cluster: Cluster) -> None:
    backend = cluster.another_backend()
    assert isinstance(backend, Meter)
    name = cluster.start(FOREVER)
    cluster.wait_begun(name)
    with cluster.unreachable(), pytest.raises(Unavailable):
        backend.measure([name])
