"""How git reaches one server: its configuration and environment, with the secrets in files that it alone can read.

SECURITY: nothing secret is in a command line, an environment or an address. A credential is offered to the host it is
for, and to no other: not after a redirect, and not for a submodule elsewhere.
"""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings

from apps.core import outgoing
from apps.credentials.choices import Kind
from apps.credentials.services import Opened
from apps.sources.addresses import Address
from apps.sources.box import Box, can_use_ssh
from apps.sources.errors import FetchFailed
from apps.sources.proxy import Gate

_CONFIG = {
    "protocol.allow": "never",
    "protocol.version": "2",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.bigFileThreshold": "32m",
    "credential.helper": "",
    "fetch.recurseSubmodules": "false",
    "gc.auto": "0",
    "http.lowSpeedLimit": "1",
    "http.proxyAuthMethod": "basic",
    "http.lowSpeedTime": "120",
    "maintenance.auto": "false",
    "pack.threads": "1",
    "submodule.recurse": "false",
    "tar.umask": "0022",
}
_ENV = {
    "GIT_ASKPASS": "false",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_SSH_VARIANT": "ssh",
    "GIT_TERMINAL_PROMPT": "0",
}
_SSH = {
    "BatchMode": "yes",
    "CheckHostIP": "no",
    "ConnectTimeout": "30",
    "GlobalKnownHostsFile": "/dev/null",
    "HostName": "127.0.0.1",
    "IdentitiesOnly": "yes",
    "IdentityAgent": "none",
    "LogLevel": "ERROR",
    "PreferredAuthentications": "publickey",
    "ServerAliveCountMax": "4",
    "ServerAliveInterval": "30",
    "StrictHostKeyChecking": "yes",
    "UpdateHostKeys": "no",
}


class Access:
    """What git is given for as long as one fetch lasts; a gate of its own for each place it asks."""

    def __init__(self, box: Box, given: Opened, stack: ExitStack) -> None:
        self._box = box
        self._given = given
        self._stack = stack
        fields = {name: text.encode() for name, text in given.public.items()} | dict(given.secret)
        self._files = {name: box.give(name, data) for name, data in fields.items()}
        self._networks = outgoing.networks_of(settings.FETCH_NETWORKS)
        self._proxy = stack.enter_context(Gate(self._networks).opened())
        self._bundle = box.give("ca.pem", _bundle()) if settings.FETCH_CA_FILE else ""

    @property
    def is_given(self) -> bool:
        return bool(self._given.kind)

    def to(self, address: Address) -> tuple[dict[str, str], Gate]:
        """Return the environment in which git asks `address`, and the gate it goes through. Raises: FetchFailed."""
        if address.scheme == "ssh":
            gate = self._stack.enter_context(Gate(self._networks, (address.host, address.port)).opened())
            config = {"protocol.ssh.allow": "always"}
            return {**_environment(config), "GIT_SSH_COMMAND": self._ssh(address, gate)}, gate
        config = {"protocol.https.allow": "always", "http.proxy": self._proxy.url, "http.sslVerify": "true"}
        if self._bundle:
            config["http.sslCAInfo"] = self._bundle
        if self._given.kind == Kind.GIT_HTTPS:
            config[f"credential.https://{self._given.public['host']}.helper"] = self._helper()
        self._proxy.refused = self._proxy.unreached = ""
        return _environment(config), self._proxy

    def _helper(self) -> str:
        user, token = (shlex.quote(self._files[name]) for name in ("username", "token"))
        return (
            f'!f() {{ test "$1" = get && printf "username=%s\\npassword=%s\\n" "$(cat {user})" "$(cat {token})"; }}; f'
        )

    def _ssh(self, address: Address, gate: Gate) -> str:
        given = self._given
        if given.kind != Kind.GIT_SSH or not address.is_at(given.public["host"]):
            msg = f"{address.place} is asked by ssh, for which there is no credential"
            raise FetchFailed(msg)
        if not can_use_ssh():
            msg = "this installation cannot fetch by ssh: its operator has to install bubblewrap"
            raise FetchFailed(msg)
        own = {
            "Port": str(gate.port),
            "HostKeyAlias": address.host if address.port == 22 else f"[{address.host}]:{address.port}",  # noqa: PLR2004 -- ssh's own
            "UserKnownHostsFile": self._files["known_hosts"],
        }
        options = [f"-o {name}={shlex.quote(value)}" for name, value in (_SSH | own).items()]
        return f"ssh -F /dev/null -i {shlex.quote(self._files['private_key'])} {' '.join(options)}"


@contextmanager
def opened(box: Box, given: Opened) -> Iterator[Access]:
    """Give git what it needs, until the end."""
    with ExitStack() as stack:
        yield Access(box, given, stack)


def local() -> dict[str, str]:
    """Return the environment in which git asks nobody."""
    return _environment({})


def _environment(config: Mapping[str, str]) -> dict[str, str]:
    entries = list({**_CONFIG, **config}.items())
    named = {f"GIT_CONFIG_KEY_{number}": key for number, (key, _) in enumerate(entries)}
    valued = {f"GIT_CONFIG_VALUE_{number}": value for number, (_, value) in enumerate(entries)}
    return {**_ENV, **named, **valued, "GIT_CONFIG_COUNT": str(len(entries))}


def _bundle() -> bytes:
    """Return the machine's certificates and the operator's in one: git takes one file in place of its own."""
    found = [path for path in _BUNDLES if path.is_file()][:1]
    return b"\n".join(path.read_bytes() for path in (*found, Path(settings.FETCH_CA_FILE)))


_BUNDLES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pki/tls/certs/ca-bundle.crt"),
    Path("/etc/ssl/cert.pem"),
)
