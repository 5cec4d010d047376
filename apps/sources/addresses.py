"""Where code may come from: the forms an address may have, read strictly. Nothing here asks the network.

SECURITY: git would understand far more (local paths, `ext::`, options); what is not one of these forms is refused. No
sentence repeats an address that might hold a password.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

LONGEST = 500
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_SCP = re.compile(rf"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]{{0,63}})@(?P<host>{_HOST}):(?P<path>[^:].*)")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_NAME = re.compile(_HOST)
_PLAIN = re.compile(r"[\x21-\x7e]+")  # printable ASCII, no spaces: what is beyond is written with %
_PORTS = {"https": 443, "ssh": 22, "s3": 443, "hdfs": 9870}
_PAGES = {
    "github.com": "/commit/",
    "gitlab.com": "/-/commit/",
    "bitbucket.org": "/commits/",
    "codeberg.org": "/commit/",
}
_GIT = "https://host/path, ssh://user@host/path or user@host:path"
_ARCHIVE = "https://host/path, s3://bucket/key or hdfs://namenode:9870/path"


@dataclass(frozen=True, slots=True)
class Address:
    """An address in its parts. For `s3` the host is the bucket, and its server the credential's affair."""

    url: str
    scheme: str
    host: str
    port: int
    path: str
    user: str = ""

    @property
    def place(self) -> str:
        """Write host and port, as people and known_hosts do where the port is the usual one: the host alone."""
        return self.host if self.port == _PORTS[self.scheme] else f"{self.host}:{self.port}"

    def is_at(self, host: str) -> bool:
        """Say whether a credential for `host`, which may name a port, is one for this place."""
        name, _, port = host.partition(":")
        return name.lower() == self.host and int(port or _PORTS[self.scheme]) == self.port


def read_git(url: str) -> Address:
    """Read the address of a git repository. Raises: ValueError with a sentence."""
    _check_text(url, _GIT)
    if "://" not in url and (short := _SCP.fullmatch(url)):
        return _checked(Address(url, "ssh", short["host"].lower(), 22, short["path"], short["user"]), _GIT)
    return _read(url, {"https", "ssh"}, _GIT)


def read_archive(url: str) -> Address:
    """Read the address of an archive. Raises: ValueError with a sentence."""
    _check_text(url, _ARCHIVE)
    return _read(url, {"https", "s3", "hdfs"}, _ARCHIVE)


def beside(parent: Address, url: str) -> Address:
    """Read the address of a submodule, which may be relative to that of its parent. Raises: ValueError."""
    if not url.startswith(("./", "../")):
        return read_git(url)
    if "://" in parent.url:
        parts = urlsplit(parent.url)
        path = urljoin(f"{parts.path.rstrip('/')}/", url)
        return read_git(urlunsplit((parts.scheme, parts.netloc, path, "", "")))
    path = urljoin(f"/{parent.path.strip('/')}/", url)
    return read_git(f"{parent.user}@{parent.host}:{path if parent.path.startswith('/') else path.lstrip('/')}")


def page_of(url: str, commit: str) -> str:
    """Return where people look at a commit; "" where its server is not one whose pages are known."""
    try:
        address = read_git(url)
    except ValueError:
        return ""
    middle = _PAGES.get(address.host)
    path = address.path.strip("/").removesuffix(".git")
    return f"https://{address.host}/{path}{middle}{commit}" if middle and commit else ""


def _check_text(url: str, forms: str) -> None:
    if not _PLAIN.fullmatch(url) or len(url) > LONGEST or url.startswith("-"):
        msg = f"An address of at most {LONGEST} characters without spaces: {forms}."
        raise ValueError(msg)


def _read(url: str, schemes: set[str], forms: str) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    scheme = parts.scheme
    if scheme not in schemes or not url.lower().startswith(f"{scheme}://"):
        msg = f"Not an address that code is fetched from: {forms}."
        raise ValueError(msg)
    if parts.password is not None or (parts.username is not None and scheme != "ssh"):
        msg = "No user name or password in the address: name a credential instead."
        raise ValueError(msg)
    if parts.fragment or (parts.query and scheme != "https"):
        msg = "No # or ? in the address."
        raise ValueError(msg)
    host, user = (parts.hostname or "").lower(), unquote(parts.username or "")
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return _checked(Address(url, scheme, host, port or _PORTS[scheme], path, user), forms)


def _checked(address: Address, forms: str) -> Address:
    bad_user = address.user and not _USER.fullmatch(address.user)
    path = unquote(address.path)
    bad_path = not path.strip("/") or any(sign < " " or sign == "\x7f" for sign in path) or path.startswith("-")
    if not _NAME.fullmatch(address.host) or bad_user or bad_path:
        msg = f"Not an address that code is fetched from: {forms}."
        raise ValueError(msg)
    return address
