"""A real Kerberos KDC in a temporary folder, on a free port of the loopback."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REALM = "FATHOM.TEST"
SBIN = "/usr/sbin"
MISSING = (
    "" if shutil.which("krb5kdc", path=SBIN) and shutil.which("kinit") else "krb5-kdc is not installed: make system"
)


@dataclass(frozen=True)
class Kdc:
    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def keytab(self, principal: str) -> bytes:
        """Make a principal with a random key; return its keytab. A second call makes the first keytab wrong."""
        path = self.folder / f"{principal}.keytab"
        path.unlink(missing_ok=True)
        known = self._admin("listprincs").split()
        if f"{principal}@{REALM}" not in known:
            self._admin(f"addprinc -randkey {principal}@{REALM}")
        self._admin(f"ktadd -k {path} {principal}@{REALM}")
        return path.read_bytes()

    def _admin(self, query: str) -> str:
        return self.run(f"{SBIN}/kadmin.local", "-r", REALM, "-q", query)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def env(self) -> dict[str, str]:
        places = {"KRB5_CONFIG": "krb5.conf", "KRB5_KDC_PROFILE": "kdc.conf"}
        return {**os.environ, **{name: str(self.folder / file) for name, file in places.items()}}


@contextmanager
def running_kdc(folder: Path) -> Iterator[Kdc]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        kdc = Kdc(folder, probe.getsockname()[1])
    (folder / "krb5.conf").write_text(f"[libdefaults]\n default_realm = {REALM}\n rdns = false\n")
    (folder / "kdc.conf").write_text(
        f"[kdcdefaults]\n kdc_listen = {kdc.address}\n kdc_tcp_listen = {kdc.address}\n[realms]\n {REALM} = {{\n"
        f"  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n  acl_file = {folder}/acl\n }}\n"
        f"[logging]\n kdc = FILE:{folder}/kdc.log\n"
    )
    kdc.run(f"{SBIN}/kdb5_util", "-r", REALM, "-P", "master", "create", "-s")
    with subprocess.Popen([f"{SBIN}/krb5kdc", "-n", "-r", REALM], env=kdc.env) as process:
        try:
            _await(kdc)
            yield kdc
        finally:
            process.terminate()


def _await(kdc: Kdc) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", kdc.port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, "the KDC did not start"
            time.sleep(0.02)
        else:
            return
