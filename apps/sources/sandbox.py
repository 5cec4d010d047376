"""As whom the tools of a fetch run, and what they see: found out by trying, not by guessing."""

import os
import shutil
import subprocess
from functools import cache

from django.conf import settings

from apps.core import bwrap

PATH = "/usr/local/bin:/usr/bin:/bin"
_SHOWN = ("/usr", "/nix", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/alternatives", "/etc/crypto-policies")
_SHOWN_FILES = ("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/nsswitch.conf")
_TEMPORARY = "/tmp"  # noqa: S108 -- one of its own, inside
_CAPABILITIES = ("CAP_SETUID", "CAP_SETGID")
_MOST_MEMORY_BYTES = 4 << 30
_PROBE_SECONDS = 20


def uid_of_tools() -> int | None:
    """Return as whom the tools run; None: as the platform's own user, which cannot become another."""
    return settings.FETCH_UID if os.geteuid() == 0 else None


def limits() -> list[str]:
    tool = shutil.which("prlimit", path=PATH)
    if tool is None:
        return []
    return [tool, f"--fsize={settings.FETCH_BYTES}", f"--as={_MOST_MEMORY_BYTES}", "--core=0", "--"]


def become() -> list[str]:
    uid = uid_of_tools()
    if uid is None:
        return []
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--"]


def bwrap_arguments() -> list[str]:
    argv = [shutil.which("bwrap", path=PATH) or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    argv += ["--die-with-parent", "--new-session"]
    if uid_of_tools() is not None:
        argv += bwrap.capabilities(_CAPABILITIES)
    for path in ("/etc", "/run", "/run/fathom"):  # bwrap itself would make them for its own user only
        argv += ["--dir", path]
    for path in (*_SHOWN, *_SHOWN_FILES):
        argv += ["--ro-bind-try", path, path]
    return [*argv, *bwrap.roots(), "--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", _TEMPORARY]


@cache
def is_boxed() -> bool:
    """Find out by trying, once, whether bubblewrap works here."""
    if shutil.which("bwrap", path=PATH) is None or (uid_of_tools() is not None and shutil.which("setpriv") is None):
        return False
    argv = [*bwrap_arguments(), "--", *become(), "true"]
    try:
        done = subprocess.run(  # noqa: S603 -- our own words
            argv, env={"PATH": PATH}, capture_output=True, timeout=_PROBE_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0
