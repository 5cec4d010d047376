"""Real environments: real `uv`, real packages from the real index, real jobs in them. Every form of the sandbox there is."""

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from apps.compute.backends.base import BuildFailed, EnvironmentGone, Unavailable
from apps.compute.backends.local.backend import LocalBackend
from apps.compute.backends.local.settings import LocalSettings
from apps.compute.contract import Recipe, WorkloadSpec
from tests.platform import REPOSITORY, wait_for

pytestmark = [pytest.mark.timeout(180)]
SIX = Recipe(packages=("six==1.16.0",))
KEY = "ab" * 32


class Said:
    """What the tools said; `tell` may also end them."""

    def __init__(self) -> None:
        self.data = b""

    def __call__(self, data: bytes) -> None:
        self.data += data


def backend_in(home: Path, **settings: object) -> LocalBackend:
    facts = {
        "jobs_root": str(home / "jobs"),
        "interpreter": sys.executable,
        "hidden_paths": [str(home)],
        "limits": False,
    }
    return LocalBackend(LocalSettings.parse({**facts, **settings}))


@pytest.fixture
def home() -> Iterator[Path]:
    """A data folder as the platform has it: closed to everybody else, as is what is made in it."""
    before = os.umask(0o077)
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)
    os.umask(before)


@pytest.fixture(params=["bwrap", "user", "none"])
def backend(request: pytest.FixtureRequest, home: Path) -> LocalBackend:
    reachable = {"interpreter": "/usr/bin/python3"} if request.param == "user" else {}
    made = backend_in(home, sandbox=request.param, **reachable)
    if not made.health().ok:
        pytest.skip(f"this machine cannot have it: {made.health().message}")
    return made


def run(backend: LocalBackend, environment: str, script: str) -> tuple[int | None, str]:
    name = f"t-{time.monotonic_ns()}"
    backend.submit(name, WorkloadSpec(("python", "-c", textwrap.dedent(script)), environment=environment))
    seen = wait_for(lambda: (found := backend.observe([name])[name]).phase.is_final and found, seconds=60)
    said = backend.read_log(name, offset=0, limit=1 << 16).data.decode()
    backend.stop(name, grace=timedelta(0))
    backend.remove(name)
    return seen.exit_code, said


def leftovers(backend: LocalBackend) -> list[str]:
    return [path.name for path in backend.environment_folder(KEY).parents[1].glob("building/*")]


def test_a_lock_a_build_and_a_job_in_it(backend: LocalBackend) -> None:
    said = Said()
    lock = backend.lock(SIX, said)
    assert "six==1.16.0 \\\n    --hash=sha256:" in lock
    assert backend.build(KEY, SIX, lock, said) > 10_000
    assert b"+ six==1.16.0" in said.data
    assert backend.build(KEY, SIX, lock, said) == 0  # it stands
    assert leftovers(backend) == []
    script = """
        import os, sys, six, fathom
        assert os.path.exists(fathom.__cached__), fathom.__cached__
        print(six.__version__, sys.prefix == os.environ["VIRTUAL_ENV"], fathom.__name__)
        try:
            open(os.path.join(sys.prefix, "mine"), "w")
        except OSError:
            print("closed")
        try:
            import django
        except ImportError:
            print("alone")
    """
    code, out = run(backend, KEY, script)
    assert (code, out.split()) == (0, ["1.16.0", "True", "fathom", *closed(backend), "alone"])
    backend.remove_environment(KEY)
    backend.remove_environment(KEY)
    assert not backend.has_environment(KEY)
    with pytest.raises(EnvironmentGone):
        backend.submit("t-gone", WorkloadSpec(("true",), environment=KEY))


def closed(backend: LocalBackend) -> list[str]:
    """Without a sandbox jobs are the platform's own user, who may do what he likes: its health says so."""
    return ["closed"] if backend.settings.sandbox != "none" else []


def test_other_environments_cannot_be_listed_by_a_job(home: Path) -> None:
    backend = backend_in(home, sandbox="bwrap")
    if not backend.health().ok:
        pytest.skip("this machine has no sandbox")
    backend.build(KEY, Recipe(), backend.lock(Recipe(), Said()), Said())
    code, out = run(backend, KEY, "import os; print(os.listdir('/run/fathom/environments'))")
    assert code == 1
    assert KEY not in out.replace(f"/run/fathom/environments/{KEY}", "")
    assert "PermissionError" in out


@pytest.mark.parametrize(
    ("packages", "lines", "words"),
    [
        (("six", "tomli", "fathom-has-no-such-package-7c1"), [3], "line 3 (fathom-has-no-such-package-7c1): "),
        (("six<1.10", "tomli", "six>1.15"), [1, 3], "line 1 (six<1.10) and line 3 (six>1.15): "),
        (("tomli", "six==99"), [2], "line 2 (six==99): "),
        (("pycrypto==2.6.1",), [1], "line 1 (pycrypto==2.6.1): "),  # never had a wheel
    ],
)
def test_a_broken_package_is_named_with_its_line(
    home: Path, packages: tuple[str, ...], lines: list[int], words: str
) -> None:
    backend = backend_in(home)
    with pytest.raises(BuildFailed) as caught:
        backend.lock(Recipe(packages=packages), Said())
    assert (list(caught.value.lines), str(caught.value).startswith(words)) == (lines, True), str(caught.value)
    assert leftovers(backend) == []


def test_what_the_cluster_has_not(home: Path) -> None:
    backend = backend_in(home)
    with pytest.raises(BuildFailed, match=r"no Python 3\.99; it has 3\."):
        backend.platform_of(Recipe(python="3.99"))
    with pytest.raises(BuildFailed, match="R packages"):
        backend.platform_of(Recipe(r_packages=("dplyr",)))


def test_a_lock_that_was_changed_is_refused(home: Path) -> None:
    backend = backend_in(home)
    lock = backend.lock(SIX, Said())
    wrong = "six==1.16.0 --hash=sha256:" + "0" * 64
    with pytest.raises(BuildFailed, match="six"):
        backend.build(KEY, SIX, wrong, Said())
    assert (backend.has_environment(KEY), leftovers(backend)) == (False, [])
    assert backend.build(KEY, SIX, lock, Said()) > 0


def test_an_index_that_is_away_is_no_verdict(home: Path) -> None:
    backend = backend_in(home, package_index="http://127.0.0.1:9/simple")
    with pytest.raises(Unavailable, match="index cannot be reached"):
        backend.lock(SIX, Said())


def test_limits_of_time_and_disk(home: Path) -> None:
    lock = backend_in(home).lock(SIX, Said())
    backend = backend_in(home, build_bytes=4_000_000)
    with pytest.raises(BuildFailed, match="bytes of disk"):
        backend.build(KEY, SIX, lock, Said())
    assert (backend.has_environment(KEY), leftovers(backend)) == (False, [])


def test_the_tools_see_nothing_of_the_platform(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "sesame-74b1")
    monkeypatch.setenv("UV_INDEX_URL", "http://127.0.0.1:9/simple")
    backend = backend_in(home)
    if backend._isolation().mode != "bwrap":
        pytest.skip("this machine has no sandbox")
    (home / "secret.key").write_text("sesame-74b1")
    hidden = str(home / "secret.key")
    script = f"import os; print(os.environ, os.getuid(), os.listdir('/run/fathom'), os.path.exists({hidden!r}))"
    said = Said()
    with backend._workplace("look") as tools:
        code, out = tools._run([sys.executable, "-I", "-c", script], said, is_quiet=False)
    assert code == 0, out
    assert "sesame" not in out
    assert "127.0.0.1:9" not in out
    assert out.rstrip().endswith("False")
    if os.geteuid() == 0:
        assert f" {backend.settings.uid_base + backend.settings.uid_count} " in out


def test_whoever_tells_may_end_a_build(home: Path) -> None:
    backend = backend_in(home)

    def stop(_data: bytes) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        backend.lock(SIX, stop)
    assert leftovers(backend) == []


def test_many_builders_of_one_key_leave_one(home: Path) -> None:
    """The rows let one at a time build; if two ever do, what stands is whole."""
    lock = backend_in(home).lock(SIX, Said())
    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(backend_in(home).build, KEY, SIX, lock, Said()) for _ in range(3)]
    failed = [one.exception() for one in done if one.exception() is not None]
    assert all(isinstance(error, (BuildFailed, Unavailable)) for error in failed), failed
    backend = backend_in(home)
    backend.build(KEY, SIX, lock, Said())
    assert run(backend, KEY, "import six; print(six.__version__)") == (0, "1.16.0\n")


_BUILD = """
import sys
from pathlib import Path
from apps.compute.contract import Recipe
from tests.environments.test_local import KEY, SIX, Said, backend_in
backend = backend_in(Path(sys.argv[1]))
backend.build(KEY, SIX, Path(sys.argv[2]).read_text(), Said())
"""


@pytest.mark.parametrize("after", [0.15, 0.45, 0.75])
def test_kill_9_of_the_builder_leaves_nothing_half(home: Path, after: float) -> None:
    backend = backend_in(home)
    lock = home / "lock.txt"
    lock.write_text(backend.lock(SIX, Said()))
    builder = subprocess.Popen(
        [sys.executable, "-c", _BUILD, str(home), str(lock)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wait_for(lambda: leftovers(backend), seconds=30, every=0.005, what="the build to begin")
    time.sleep(after)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    tools = f"{KEY}."
    wait_for(lambda: not _processes_in(tools), seconds=10, what="the end of its tools")
    if not backend.has_environment(KEY):
        backend.build(KEY, SIX, lock.read_text(), Said())
    assert run(backend, KEY, "import six; print(six.__version__)") == (0, "1.16.0\n")
    assert leftovers(backend) == []


def _processes_in(word: str) -> list[str]:
    """List processes whose command line speaks of a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if f"building/{word}" in line:
            found.append(line)
    return found
