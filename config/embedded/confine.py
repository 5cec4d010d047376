"""Starting a server as an ordinary user.

PostgreSQL refuses to run as root, and root's files are often out of anybody else's reach: the data folder has mode 0700
and the interpreter may live in /root. So a server that root starts gets a service account and a mount namespace of its
own, in which only its folders are bound to a place that the account can reach. Where the kernel refuses the namespace
(a container without privileges), the folders are used where they are, and have to be reachable.
"""

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from config.embedded.errors import StartError

_ACCOUNTS = ("postgres", "daemon", "nobody")  # initdb looks its user up, so it has to be one that the system knows
_STAGES = ("/mnt", "/media", "/srv", "/opt", "/var")  # any folder will do: it is covered only for the server itself

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 4096, 16384, 1 << 18, 2, 4
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Account:
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Confinement:
    """As whom a server runs and under which names it sees its folders."""

    account: Account | None
    stage: str = ""  # empty: the server sees the machine as it is
    folders: tuple[Path, ...] = ()

    def seen(self, path: Path) -> str:
        """Return the server's name of a path."""
        if not self.stage:
            return str(path)
        for index, folder in enumerate(self.folders):
            if path.is_relative_to(folder):
                # Folders keep their last name: the binaries find their libraries relative to themselves.
                return str(Path(self.stage, str(index), folder.name, path.relative_to(folder)))
        msg = f"{path} is outside the folders of the server"
        raise ValueError(msg)

    def own(self, path: Path) -> None:
        """Give a file or folder to the server's account."""
        if self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def enter(self, *, on_parent_death: signal.Signals | None) -> Callable[[], None]:
        """Return what the child does between fork and exec."""
        return partial(_enter, self, on_parent_death)


def confinement(home: Path, *, own: Sequence[Path], needs: Sequence[Path]) -> Confinement:
    """Choose the way to run a server that needs some folders and gets some of them for its own, the first with its data.

    Raises: StartError when root has no way at all.
    """
    account = _service_account(own[0])
    if account is None:
        return Confinement(None)
    for folder in own:
        os.chown(folder, account.uid, account.gid)
    stage = _working_stage()
    if stage:
        return Confinement(account, stage, tuple(needs))
    for part in (home, home / "run"):
        part.chmod(0o711)  # SECURITY: may be passed through, not listed; what lies in it has modes of its own
    unreachable = next((folder for folder in needs if not _reaches(account, folder)), None)
    if unreachable is not None:
        msg = (
            f"Started as root, the servers have to run as user {account.uid}, who cannot reach {unreachable}: "
            "start Fathom as an ordinary user, or move it to a folder that others may enter."
        )
        raise StartError(msg)
    return Confinement(account)


def die_with_parent(how: signal.Signals) -> None:
    """Ask the kernel (Linux) to signal this process when the one that started it is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)


def _service_account(data: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:  # whoever has owned the data before goes on owning it
        return Account(data.stat().st_uid, data.stat().st_gid)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    msg = "Started as root, PostgreSQL needs one of the users postgres, daemon or nobody, and this system has none."
    raise StartError(msg)


@cache
def _working_stage() -> str:
    """Return a folder over which a namespace can be laid; empty when this system does not allow it."""
    stage = next((name for name in _STAGES if Path(name).is_dir()), "")
    if sys.platform != "linux" or not stage:
        return ""
    probe = shutil.which("true") or "/bin/true"
    trial = Confinement(Account(os.getuid(), os.getgid()), stage, (Path("/usr"),))
    try:
        subprocess.run([probe], check=True, preexec_fn=trial.enter(on_parent_death=None))  # noqa: S603 -- one thread
    except (OSError, subprocess.SubprocessError):
        return ""
    return stage


def _reaches(account: Account, folder: Path) -> bool:
    looked = subprocess.run(  # noqa: S603 -- our own path
        [shutil.which("test") or "/usr/bin/test", "-x", str(folder)],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        check=False,
    )
    return looked.returncode == 0


def _enter(confinement: Confinement, on_parent_death: signal.Signals | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if confinement.stage:
        _lay_out(libc, confinement.stage, confinement.folders)
    if confinement.account is not None and os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(confinement.account.gid, confinement.account.gid, confinement.account.gid)
        os.setresuid(confinement.account.uid, confinement.account.uid, confinement.account.uid)
    os.umask(0o077)
    if on_parent_death is not None:  # after the change of user, which resets it
        die_with_parent(on_parent_death)


def _lay_out(libc: ctypes.CDLL, stage: str, folders: Sequence[Path]) -> None:
    _call(libc.unshare, _CLONE_NEWNS)
    _call(libc.mount, b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    # Opened before the stage covers them, if it does.
    opened = [os.open(folder, os.O_PATH | os.O_DIRECTORY) for folder in folders]
    _call(libc.mount, b"tmpfs", stage.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, b"mode=755,size=64k")
    for index, (fd, folder) in enumerate(zip(opened, folders, strict=True)):
        place = Path(stage, str(index), folder.name)
        place.mkdir(parents=True)
        for part in (place.parent, place):
            part.chmod(0o755)  # whatever the umask is
        _call(libc.mount, f"/proc/self/fd/{fd}".encode(), str(place).encode(), None, _MS_BIND, None)


def _call(function: Callable[..., int], *arguments: object) -> None:
    if function(*arguments) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
