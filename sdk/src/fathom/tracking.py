"""Tracking: what training code calls.

Inside a job nothing is configured; the calls go to the job's run. Elsewhere `start_run` begins a run, or the first
call begins one in the project "default". Where no platform can be reached (or `FATHOM_OFFLINE=1`), everything goes to
`fathom-offline/<run>.jsonl`, which `fathom sync` uploads later. Wrong arguments raise; a platform that is down, slow or
refuses never does.
"""

import atexit
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self, SupportsFloat, SupportsIndex

from fathom.config import Connection, resolve
from fathom.delivery import Delivery
from fathom.errors import ApiError, FathomError, NotConfigured
from fathom.notices import notice
from fathom.recorder import Recorder
from fathom.spool import Spool

OFFLINE_FOLDER = "fathom-offline"
JOB_EXIT_SECONDS = 90.0
EXIT_SECONDS = 10.0
SIGTERM_SECONDS = 5.0
FLUSH_SECONDS = 30.0


class ActiveRun:
    """A run that is being written. A context manager: leaving it ends the run (a job's run ends with the job)."""

    def __init__(self, *, run_id: str | None, name: str, delivery: Delivery, is_job: bool) -> None:
        self.id = run_id
        """The run's id on the platform; None while it exists only in a file."""
        self.name = name
        self.is_job = is_job
        self._recorder = Recorder(delivery)
        self._next_step: dict[str, int] = {}
        self._process = os.getpid()
        self._closed = False

    def log_metric(self, key: str, value: SupportsFloat, step: SupportsIndex | None = None) -> None:
        """One point of a metric. Without a step, the next after the metric's last. NaN and ±Inf are kept."""
        self._recorder.add_points([self._point(key, value, step, time.time_ns() // 1_000_000)])

    def log_metrics(self, metrics: Mapping[str, SupportsFloat], step: SupportsIndex | None = None) -> None:
        """Several metrics of the same moment."""
        now = time.time_ns() // 1_000_000
        self._recorder.add_points([self._point(key, value, step, now) for key, value in metrics.items()])

    def log_param(self, key: str, value: object) -> None:
        """A parameter of this run, kept as text."""
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        self._recorder.add_names("params", {_key(key): str(value) for key, value in params.items()})

    def set_tag(self, key: str, value: object) -> None:
        """A label to find the run by; a later value replaces an earlier one."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, object]) -> None:
        self._recorder.add_names("tags", {_key(key): str(value) for key, value in tags.items()})

    def log_artifact(self, path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep a file as it is now, under its own name, in the artifact folder `artifact_path`. Returns after a copy.

        Raises: FileNotFoundError, IsADirectoryError.
        """
        import mimetypes  # noqa: PLC0415 -- only who logs artifacts pays

        source = Path(path)
        if source.is_dir():
            message = f"{source} is a folder; use log_artifacts"
            raise IsADirectoryError(message)
        if not source.is_file():
            message = f"there is no file {source}"
            raise FileNotFoundError(message)
        name = f"{artifact_path.strip('/')}/{source.name}" if artifact_path else source.name
        content_type = mimetypes.guess_type(source.name)[0] or "application/octet-stream"
        self._recorder.add_artifact(source, name, content_type)

    def log_artifacts(self, folder: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Keep all files below a folder, with their relative paths. Raises: NotADirectoryError."""
        root = Path(folder)
        if not root.is_dir():
            message = f"there is no folder {root}"
            raise NotADirectoryError(message)
        for file in sorted(item for item in root.rglob("*") if item.is_file()):
            parts = [artifact_path.strip("/")] if artifact_path else []
            parent = file.relative_to(root).parent.as_posix()
            self.log_artifact(file, "/".join([*parts, *([parent] if parent != "." else [])]) or None)

    def log_image(self, key: str, image: object, step: SupportsIndex = 0) -> None:
        """A picture of a step: a file, bytes of a PNG, a Pillow image, a figure or an array. The run's page shows it by step.

        Raises: FileNotFoundError, TypeError, ValueError.
        """
        from fathom import frames  # noqa: PLC0415 -- only who logs pictures pays

        with tempfile.TemporaryDirectory() as folder:
            self._keep_frame("images", key, frames.write_image(image, Path(folder)), step)

    def log_table(self, key: str, rows: object, step: SupportsIndex = 0) -> None:
        """A table of a step: a pandas frame, columns by name, or rows as mappings. The run's page shows it by step.

        Raises: TypeError, ValueError.
        """
        from fathom import frames  # noqa: PLC0415 -- only who logs tables pays

        with tempfile.TemporaryDirectory() as folder:
            self._keep_frame("tables", key, frames.write_table(rows, Path(folder)), step)

    def _keep_frame(self, folder: str, key: str, file: Path, step: SupportsIndex) -> None:
        import mimetypes  # noqa: PLC0415 -- as above

        from fathom import frames  # noqa: PLC0415 -- as above

        content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._recorder.add_artifact(file, frames.name_of(folder, key, int(step), file.suffix.lower()), content_type)

    def flush(self, timeout: float = FLUSH_SECONDS) -> bool:
        """Wait until all is delivered. Returns False after `timeout` seconds without progress; nothing is lost then."""
        return self._recorder.flush(timeout)

    def finish(self, status: str = "finished") -> None:
        """End the run as `finished`, `failed` or `killed`. For a job's run this is a flush: its job decides."""
        if self.is_job:
            self.flush()
            return
        self._close(status, _exit_seconds(is_job=False))
        _state.forget(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        self.finish("finished" if kind is None else "killed" if interrupted else "failed")

    def _close(self, status: str, timeout: float, *, hard: bool = False) -> None:
        """May be called again: a signal can interrupt the wait at exit, and shorten it."""
        if not self._closed:
            self._closed = True
            if not self.is_job and self._process == os.getpid():
                self._recorder.add_record({"type": "finish", "status": status})
        if not hard and timeout > 2 and not self._recorder.flush(2.0):  # noqa: PLR2004 -- then say what we wait for
            notice(f"waiting up to {timeout:g} s for the platform to take what was tracked")
        self._recorder.close(timeout, hard=hard)

    def _point(
        self, key: str, value: SupportsFloat, step: SupportsIndex | None, now: int
    ) -> tuple[str, float, int, int]:
        if isinstance(value, str):
            message = f"the metric {key!r} needs a number, not the text {value!r}"
            raise TypeError(message)
        number = self._next_step.get(_key(key), 0) if step is None else int(step)
        self._next_step[key] = number + 1
        return key, float(value), number, now


class _State:
    """The process's one active run."""

    def __init__(self) -> None:
        self.run: ActiveRun | None = None
        self.lock = threading.RLock()
        self.hooked = False

    def forget(self, run: ActiveRun) -> None:
        with self.lock:
            if self.run is run:
                self.run = None

    def hook(self) -> None:
        """Deliver at exit and, unless the program has a handler of its own, on SIGTERM."""
        if self.hooked:
            return
        self.hooked = True
        atexit.register(_at_exit)
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _on_sigterm)


_state = _State()


def start_run(
    *, project: str | None = None, name: str | None = None, tags: Mapping[str, object] | None = None
) -> ActiveRun:
    """Begin a run outside a job, best as `with fathom.start_run(project="vision"):`.

    Inside a job this is the job's run, so the same code works in both places; project and name are the job's then.
    Raises: RuntimeError when a run is active already.
    """
    with _state.lock:
        if _state.run is not None:
            if not _state.run.is_job:
                message = f"the run {_state.run.name} is active; end it before another begins"
                raise RuntimeError(message)
            run = _state.run
        else:
            run = _state.run = _open(project, name)
            _state.hook()
    if tags:
        run.set_tags(tags)
    return run


def active_run() -> ActiveRun | None:
    """The run that calls go to. Inside a job always the job's; elsewhere None before the first call."""
    if _state.run is None and _in_job():
        return _current()
    return _state.run


def log_metric(key: str, value: SupportsFloat, step: SupportsIndex | None = None) -> None:
    """One point of a metric. Without a step, the next after the metric's last. NaN and ±Inf are kept."""
    (_state.run or _current()).log_metric(key, value, step)


def log_metrics(metrics: Mapping[str, SupportsFloat], step: SupportsIndex | None = None) -> None:
    """Several metrics of the same moment."""
    (_state.run or _current()).log_metrics(metrics, step)


def log_param(key: str, value: object) -> None:
    """A parameter of the run, kept as text."""
    (_state.run or _current()).log_param(key, value)


def log_params(params: Mapping[str, object]) -> None:
    """Several parameters."""
    (_state.run or _current()).log_params(params)


def set_tag(key: str, value: object) -> None:
    """A label to find the run by; a later value replaces an earlier one."""
    (_state.run or _current()).set_tag(key, value)


def set_tags(tags: Mapping[str, object]) -> None:
    """Several labels."""
    (_state.run or _current()).set_tags(tags)


def log_artifact(path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a file as it is now, under its own name, in the artifact folder `artifact_path`."""
    (_state.run or _current()).log_artifact(path, artifact_path)


def log_artifacts(folder: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep all files below a folder, with their relative paths."""
    (_state.run or _current()).log_artifacts(folder, artifact_path)


def log_image(key: str, image: object, step: SupportsIndex = 0) -> None:
    """A picture of a step: a file, bytes of a PNG, a Pillow image, a figure or an array."""
    (_state.run or _current()).log_image(key, image, step)


def log_table(key: str, rows: object, step: SupportsIndex = 0) -> None:
    """A table of a step: a pandas frame, columns by name, or rows as mappings."""
    (_state.run or _current()).log_table(key, rows, step)


def flush(timeout: float = FLUSH_SECONDS) -> bool:
    """Wait until all is delivered. Returns False after `timeout` seconds without progress; nothing is lost then."""
    return _state.run.flush(timeout) if _state.run is not None else True


def _current() -> ActiveRun:
    with _state.lock:
        return _state.run or start_run()


def _open(project: str | None, name: str | None) -> ActiveRun:
    if _in_job():
        return _open_job_run(os.environ["FATHOM_RUN_ID"])
    name = name or Path(sys.argv[0] if sys.argv and sys.argv[0] not in {"", "-", "-c"} else "python").stem
    project = project or os.environ.get("FATHOM_PROJECT") or "default"
    connection = _platform()
    run_id = _create(connection, project, name) if connection is not None else None
    file = f"{_file_name(name)}-{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}"
    if connection is None or run_id is None:
        header = {"project": project, "name": name, "key": str(uuid.uuid4()), "started": time.time()}
        return ActiveRun(run_id=None, name=name, delivery=_delivery(file, header, None, ""), is_job=False)
    header = {"run_id": run_id, "url": connection.url}
    return ActiveRun(run_id=run_id, name=name, delivery=_delivery(file, header, connection, run_id), is_job=False)


def _open_job_run(run_id: str) -> ActiveRun:
    connection = _platform()
    header = {"run_id": run_id, "url": connection.url if connection else ""}
    delivery = _delivery(run_id, header, connection, run_id)
    return ActiveRun(run_id=run_id, name=run_id, delivery=delivery, is_job=True)


def _delivery(file: str, header: dict[str, Any], connection: Connection | None, run_id: str) -> Delivery:
    folder = Path(os.environ.get("FATHOM_OFFLINE_DIR") or OFFLINE_FOLDER).absolute()
    spool = Spool(folder, file, header)
    if connection is None:
        return Delivery(spool, None)

    def connect() -> Any:
        from fathom.remote import Remote  # noqa: PLC0415 -- HTTP is imported by the delivering thread

        return Remote.connect(connection, run_id)

    return Delivery(spool, connect)


def _platform() -> Connection | None:
    if os.environ.get("FATHOM_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return None
    try:
        return resolve()
    except NotConfigured:
        return None
    except FathomError as error:
        notice(f"{error}; tracking goes to a file")
        return None


def _create(connection: Connection, project: str, name: str) -> str | None:
    from fathom.resources.runs import RunsApi  # noqa: PLC0415 -- a job never creates its run
    from fathom.transport import Transport  # noqa: PLC0415 -- the same

    try:
        run = RunsApi(Transport(connection, timeout=5.0, retry_seconds=2.0)).create(project=project, name=name)
    except (ApiError, FathomError) as error:
        notice(f"{error} Tracking goes to a file.")
        return None
    notice(f"run {run.name} ({run.id}) on {connection.url}")
    return run.id


def _in_job() -> bool:
    return bool(os.environ.get("FATHOM_RUN_ID"))


def _exit_seconds(*, is_job: bool) -> float:
    try:
        return float(os.environ["FATHOM_FLUSH_TIMEOUT"])
    except (KeyError, ValueError):
        return JOB_EXIT_SECONDS if is_job else EXIT_SECONDS


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60] or "run"


def _key(key: object) -> str:
    if not (isinstance(key, str) and key):
        message = f"a name must be text and not empty, not {key!r}"
        raise TypeError(message)
    return key


def _at_exit() -> None:
    run = _state.run
    if run is not None:
        failed = getattr(sys, "last_value", None) is not None
        run._close("failed" if failed else "finished", _exit_seconds(is_job=run.is_job))  # noqa: SLF001 -- same module


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    run = _state.run
    if run is not None:
        run._close("killed", SIGTERM_SECONDS, hard=True)  # noqa: SLF001 -- same module
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)  # end as the signal would have ended us
