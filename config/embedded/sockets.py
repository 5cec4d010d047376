"""Where the servers' sockets lie: in folders that only we may enter."""

import hashlib
import os
import tempfile
from pathlib import Path

from config.embedded.errors import StartError

_LONGEST = 100  # bytes: the kernel takes 107 on Linux, 103 on macOS


def socket_folder(home: Path, name: str, socket_name: str) -> Path:
    """Return (and make) the folder for a server's socket: in `home`, or in the temporary folder where that is too long."""
    folder = home / "run" / name
    if len(os.fsencode(folder / socket_name)) > _LONGEST:
        digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"fathom-{os.getuid()}-{digest}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    # SECURITY: anybody may make a folder in /tmp before us. Its owner is us, or the account that we gave it to as root.
    if folder.is_symlink() or (os.getuid() != 0 and found.st_uid != os.getuid()):
        msg = f"{folder} belongs to somebody else: remove it, or choose a shorter FATHOM_HOME."
        raise StartError(msg)
    folder.chmod(0o700)
    return folder
