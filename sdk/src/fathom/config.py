"""Which platform to talk to, and with which token.

Order: explicit argument, then the environment (`FATHOM_URL`, `FATHOM_TOKEN`, `FATHOM_TOKEN_FILE`), then the
configuration file that `fathom login` writes (`~/.config/fathom/config.json`, mode 0600).
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fathom.errors import FathomError, NotConfigured

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class Host:
    """One platform in the configuration file."""

    url: str
    token: str = field(repr=False)
    username: str = ""
    token_id: str = ""
    admin_token: str = field(default="", repr=False)
    admin_token_id: str = ""
    admin_until: float = 0.0

    @property
    def is_elevated(self) -> bool:
        """Whether `fathom elevate` is in force for the commands that follow it."""
        return bool(self.admin_token) and self.admin_until > time.time()

    @property
    def current_token(self) -> str:
        """The token that speaks now: the admin's while it lives, else one's own."""
        return self.admin_token if self.is_elevated else self.token


@dataclass(slots=True)
class Config:
    """The configuration file: named hosts, of which one is current."""

    current: str = ""
    hosts: dict[str, Host] = field(default_factory=dict)

    @classmethod
    def load(cls) -> "Config":
        """Read the file; an absent one is an empty configuration.

        Raises: FathomError when it exists but cannot be understood.
        """
        path = config_path()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            hosts = {str(name): Host(**entry) for name, entry in data.get("hosts", {}).items()}
            return cls(current=str(data.get("current", "")), hosts=hosts)
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            message = f"The configuration file {path} cannot be read: {error}"
            raise FathomError(message) from error

    def save(self) -> None:
        """Write the file through a temporary one, so that it is never half written and never readable by others."""
        path = config_path()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        data = {"current": self.current, "hosts": {name: asdict(host) for name, host in self.hosts.items()}}
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2)
        draft.replace(path)

    def for_url(self, url: str) -> Host | None:
        """The host with this address, so that a token is only ever sent to the platform that issued it."""
        return next((host for host in self.hosts.values() if host.url == url), None)


@dataclass(frozen=True, slots=True)
class Connection:
    """An address and where its token comes from; the token is asked for at every request, since files rotate."""

    url: str
    token: Callable[[], str | None]


def config_path() -> Path:
    """`FATHOM_CONFIG`, or `fathom/config.json` in the user's configuration folder."""
    if named := os.environ.get("FATHOM_CONFIG"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "fathom" / "config.json"


def clean_url(url: str) -> str:
    """The address without a trailing slash. Raises: FathomError when it is not an http(s) address."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username or parts.query or parts.fragment:
        message = f"{url!r} is not a platform's address; it should look like {DEFAULT_URL}"
        raise FathomError(message)
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def resolve(url: str | None = None, token: str | None = None, *, host: str | None = None) -> Connection:
    """Decide address and token. `host` names an entry of the configuration file and wins over the environment.

    Raises: NotConfigured when no address is known.
    """
    if host is not None:
        return _named(host, token)
    named = url or os.environ.get("FATHOM_URL")
    if named:
        address = clean_url(named)
        return Connection(address, _token_source(token, address))
    config = Config.load()
    entry = config.hosts.get(config.current)
    if entry is None:
        message = "No platform is known here. Run `fathom login`, or set FATHOM_URL and FATHOM_TOKEN."
        raise NotConfigured(message)
    return Connection(entry.url, _token_source(token, entry.url))


def _named(host: str, token: str | None) -> Connection:
    hosts = Config.load().hosts
    if host not in hosts:
        known = ", ".join(sorted(hosts)) or "none"
        message = f"There is no host {host!r} in the configuration (known: {known})."
        raise NotConfigured(message)
    entry = hosts[host]
    return Connection(entry.url, lambda: token or entry.current_token)


def _token_source(token: str | None, url: str) -> Callable[[], str | None]:
    if explicit := token or os.environ.get("FATHOM_TOKEN"):
        return lambda: explicit
    if path := os.environ.get("FATHOM_TOKEN_FILE"):
        return lambda: _read_token(Path(path))
    entry = Config.load().for_url(url)
    return lambda: entry.current_token if entry else None


def _read_token(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        message = f"The token file {path} cannot be read: {error.strerror}"
        raise FathomError(message) from error


def as_dict(config: Config) -> dict[str, Any]:
    """The configuration for people to read: without the tokens."""
    return {
        "current": config.current,
        "hosts": {name: {"url": host.url, "username": host.username} for name, host in config.hosts.items()},
    }
