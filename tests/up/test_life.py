"""Start, stop, kill and start again."""

import signal
from collections.abc import Callable

import psutil
import pytest

from tests.up.platform_process import Up, eventually

pytestmark = pytest.mark.timeout(300)
Start = Callable[..., Up]


def _all_gone(processes: list[psutil.Process]) -> bool:
    return not [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_control_c_stops_everything_and_a_second_start_finds_the_data(up: Start) -> None:
    first = up()
    cold = first.wait_until_ready()
    keys = (first.home / "secret.key").read_text()
    processes = first.processes()
    first.process.send_signal(signal.SIGINT)
    assert first.wait_for_end() == 0
    assert first.lines[-1].endswith("Stopped.")
    eventually(lambda: _all_gone(processes))
    assert not list((first.home / "run").glob("*.pid"))
    log = (first.home / "log" / "postgres.log").read_text()
    assert "database system is shut down" in log

    second = up(home=first.home)
    warm = second.wait_until_ready()
    assert (second.home / "secret.key").read_text() == keys
    assert "not properly shut down" not in (second.home / "log" / "postgres.log").read_text()
    print(f"cold {cold} s, warm {warm} s")


def test_the_second_control_c_does_not_wait(up: Start) -> None:
    # One that waits for its worker longer than this test does, and a worker that cannot end by itself.
    platform = up(before="from config.up import supervisor; supervisor._STOP_SECONDS = 1e6")
    platform.wait_until_ready()
    processes = platform.processes()
    worker = psutil.Process(platform.pid_of("worker"))
    worker.suspend()
    platform.process.send_signal(signal.SIGINT)
    web = psutil.Process(platform.pid_of("web"))
    eventually(lambda: _all_gone([web]))  # all have been asked, and only the worker is waited for
    assert platform.process.poll() is None
    platform.process.send_signal(signal.SIGINT)
    assert platform.wait_for_end() == 0
    eventually(lambda: _all_gone(processes))


def test_control_c_while_it_is_starting(up: Start) -> None:
    platform = up()
    platform.wait_for("Made a new data folder")
    processes = platform.processes()
    platform.process.send_signal(signal.SIGINT)
    assert platform.wait_for_end() == 0
    eventually(lambda: _all_gone(processes))
    assert "Traceback" not in platform.output, platform.output


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_works(up: Start) -> None:
    first = up()
    first.wait_until_ready()
    left = first.processes()[1:]
    assert len(left) >= 4
    first.process.kill()
    second = up(home=first.home, ports=(first.port, first.content_port))
    second.wait_until_ready()
    eventually(lambda: _all_gone(left))
    assert second.answers()


def test_nothing_outlives_a_killed_supervisor(up: Start) -> None:
    platform = up("--no-worker")
    platform.wait_until_ready()
    left = platform.processes()[1:]
    platform.process.kill()
    eventually(lambda: _all_gone(left))


def test_everything_killed_at_once_is_found_again(up: Start) -> None:
    first = up()
    first.wait_until_ready()
    processes = first.processes()
    for process in processes:  # the supervisor first, so that it heals nothing
        process.suspend()
    for process in processes:
        process.kill()
    second = up(home=first.home)
    second.wait_until_ready()
    assert "not properly shut down" in (second.home / "log" / "postgres.log").read_text()


def test_several_web_processes_share_the_ports_and_end_together(up: Start) -> None:
    platform = up("--no-worker", FATHOM_WEB_WORKERS="2")
    platform.wait_until_ready()
    keeper = psutil.Process(platform.pid_of("web"))
    eventually(lambda: len(keeper.children()) == 2)
    members = keeper.children()
    members[0].kill()
    eventually(lambda: len([one for one in keeper.children() if one.status() != psutil.STATUS_ZOMBIE]) == 2)
    assert platform.answers()
    members = [keeper, *keeper.children()]
    keeper.kill()
    eventually(lambda: _all_gone(members))
    eventually(platform.answers)
