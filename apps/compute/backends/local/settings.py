"""What an operator can set for a local cluster."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from apps.compute.backends.base import BackendSettings, SettingField

SANDBOXES = ("auto", "bwrap", "user", "none")

_LONGEST_BUILD_SECONDS = 3000  # what is older than an hour is taken for the rest of a killed build

_FIELDS: tuple[tuple[str, type, Any, str], ...] = (
    ("jobs_root", str, "", "Folder that holds one folder per job. Required, absolute."),
    ("interpreter", str, "", "Python of the jobs; its folder comes first in PATH. Empty: the platform's own."),
    (
        "sandbox",
        str,
        "auto",
        "auto, bwrap (own namespaces and user), user (own user only) or none. auto takes the best.",
    ),
    ("uid_base", int, 2_000_000, "First of the user ids given to jobs when the platform runs as root."),
    ("uid_count", int, 1_000_000, "How many user ids there are."),
    ("scratch_root", str, "", "Where the jobs' own folders go in sandbox=user. Empty: jobs_root, or /var/tmp."),
    ("hidden_paths", list, (), "Folders no job may see, whatever else is shown; the platform's data folder."),
    ("readable_paths", list, (), "Further folders that sandboxed jobs see, read-only (data sets, tools)."),
    ("writable_paths", list, (), "Further folders that sandboxed jobs see and may write to, as their user may."),
    ("limits", bool, True, "Limit memory, CPU and processes by cgroups where they can be had."),
    ("cgroup_parent", str, "fathom", "Cgroup, relative to the root of the hierarchy, under which the jobs' groups go."),
    ("max_processes", int, 4096, "Processes and threads of one job."),
    ("max_open_files", int, 65_536, "Open files of one process of a job; never above what the platform has itself."),
    ("max_code_bytes", int, 2 << 30, "Size of a job's code, unpacked, in bytes."),
    ("max_code_files", int, 50_000, "Files and folders in a job's code."),
    ("max_code_ratio", int, 200, "Unpacked size over packed size from which an archive over 16 MiB counts as a bomb."),
    ("timeout_grace_seconds", int, 10, "Between the polite and the forced end of a job that reached its time limit."),
    ("environments_root", str, "", "Folder of the environments built here. Empty: `environments` beside jobs_root."),
    ("pythons", list, (), "Further interpreters for environments, as absolute paths; the jobs' own is always there."),
    (
        "package_index",
        str,
        "",
        "Address of the package index for environments, where it is not the public one. People cannot name another.",
    ),
    (
        "source_packages",
        bool,
        False,
        "Let environments hold packages without a wheel. Their code then runs while they are built.",
    ),
    ("build_seconds", int, 900, "Time limit of one step of the build of an environment."),
    ("build_bytes", int, 20 << 30, "Size limit of one environment, in bytes."),
    ("cpu_milli", int, 0, "CPU to offer, in milli-units. 0: all there is."),
    ("memory_bytes", int, 0, "Memory to offer. 0: all there is."),
)


@dataclass(frozen=True, slots=True)
class LocalSettings(BackendSettings):
    """Settings of one local cluster; see `fields()` for what each means."""

    jobs_root: str = ""
    interpreter: str = ""
    sandbox: str = "auto"
    uid_base: int = 2_000_000
    uid_count: int = 1_000_000
    scratch_root: str = ""
    hidden_paths: Sequence[str] = ()
    readable_paths: Sequence[str] = ()
    writable_paths: Sequence[str] = ()
    limits: bool = True
    cgroup_parent: str = "fathom"
    max_processes: int = 4096
    max_open_files: int = 65_536
    max_code_bytes: int = 2 << 30
    max_code_files: int = 50_000
    max_code_ratio: int = 200
    timeout_grace_seconds: int = 10
    environments_root: str = ""
    pythons: Sequence[str] = ()
    package_index: str = ""
    source_packages: bool = False
    build_seconds: int = 900
    build_bytes: int = 20 << 30
    cpu_milli: int = 0
    memory_bytes: int = 0

    def __post_init__(self) -> None:
        """Check what a type cannot say. Raises: ValueError, naming the field."""
        for name in ("hidden_paths", "readable_paths", "writable_paths", "pythons"):
            value = tuple(getattr(self, name))
            object.__setattr__(self, name, value)  # hashable: probes are cached by settings
            if not all(isinstance(path, str) and path.startswith("/") for path in value):
                msg = f"{name}: expected absolute paths"
                raise ValueError(msg)
        if not self.jobs_root.startswith("/"):
            msg = "jobs_root: expected an absolute path"
            raise ValueError(msg)
        if self.environments_root and not self.environments_root.startswith("/"):
            msg = "environments_root: expected an absolute path"
            raise ValueError(msg)
        if not 1 <= self.build_seconds <= _LONGEST_BUILD_SECONDS or self.build_bytes < 1:
            msg = f"build_seconds, build_bytes: expected positive numbers, the first at most {_LONGEST_BUILD_SECONDS}"
            raise ValueError(msg)
        if self.sandbox not in SANDBOXES:
            msg = f"sandbox: expected one of {', '.join(SANDBOXES)}"
            raise ValueError(msg)
        if self.uid_base < 1 or self.uid_count < 1:
            msg = "uid_base, uid_count: expected positive numbers"
            raise ValueError(msg)

    @classmethod
    @override
    def fields(cls) -> tuple[SettingField, ...]:
        return tuple(
            SettingField(name=name, type=kind, default=default, help=text) for name, kind, default, text in _FIELDS
        )

    @property
    def python(self) -> str:
        """The jobs' interpreter."""
        return self.interpreter or sys.executable
