"""Real servers on loopback that code comes from: git's own over HTTPS and ssh, and files over HTTPS."""

import base64
import getpass
import ipaddress
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.platform import free_port, wait_for

BACKEND = Path("/usr/lib/git-core/git-http-backend")
SSHD = Path("/usr/sbin/sshd")
_WHO = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
}


def git(folder: Path, *words: str) -> str:
    """Run git as its user would; return what it says."""
    environment = {**os.environ, **_WHO, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ALLOW_PROTOCOL": "file:https:ssh"}
    done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()


def repository(root: Path, name: str, files: dict[str, bytes | str], *, links: dict[str, str] | None = None) -> Path:
    """Make a working tree with one commit on `main`, and its bare twin `<name>.git`, which is served."""
    work = root / "work" / name
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, files, links=links)
    bare = root / "served" / f"{name}.git"
    bare.parent.mkdir(exist_ok=True)
    git(root, "clone", "--quiet", "--bare", str(work), str(bare))
    git(work, "remote", "add", "origin", str(bare))
    git(work, "fetch", "--quiet", "origin")
    return work


def commit(
    work: Path, files: dict[str, bytes | str], *, links: dict[str, str] | None = None, push: bool = False
) -> str:
    for name, content in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name, target in (links or {}).items():
        (work / name).symlink_to(target)
    git(work, "add", "-A")
    git(work, "commit", "--quiet", "-m", "next")
    if push:
        git(work, "push", "--quiet", "origin", "HEAD")
    return git(work, "rev-parse", "HEAD")


@dataclass
class Certificates:
    """An authority of our own, and a server's certificate from it."""

    ca: Path
    chain: Path
    key: Path


def certificates(folder: Path, *names: str) -> Certificates:
    now = datetime.now(UTC)

    def build(name: str, key: Any, issuer: Any, signer: Any, *, is_ca: bool) -> Any:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject).public_key(key.public_key())
        )
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        builder = builder.not_valid_after(now + timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        if not is_ca:
            known: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            known += [x509.DNSName(one) for one in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(known), critical=False)
        return builder.sign(signer or key, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = build("Test CA", ca_key, None, None, is_ca=True)
    leaf = build("server", key, ca.subject, ca_key, is_ca=False)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    made.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    made.chain.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    made.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return made


@dataclass
class Web:
    """An HTTPS server: git's smart HTTP below `/git/`, files below `/files/`. Both may ask who comes."""

    root: Path
    port: int
    ca: Path
    who: str = ""  # "name:token", or nobody in particular
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, and who came
    redirects: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)  # path prefix -> a status instead
    before: Callable[[str], None] = lambda _path: None

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"https://{host}:{self.port}/{path}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    web: ClassVar[Web]

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(body)

    def _answer(self, body: bytes) -> None:
        web = self.web
        path = urlsplit(self.path).path
        who = self.headers.get("Authorization", "")
        web.asked.append((path, base64.b64decode(who.removeprefix("Basic ")).decode() if who else ""))
        web.before(path)
        target = next((to for prefix, to in web.redirects.items() if self.path.startswith(prefix)), "")
        if target:
            prefix = next(prefix for prefix in web.redirects if self.path.startswith(prefix))
            return self._send(302, b"", {"Location": target + self.path.removeprefix(prefix)})
        for prefix, status in web.answers.items():
            if path.startswith(prefix):
                return self._send(status, b"no")
        if web.who and web.asked[-1][1] != web.who:
            return self._send(401, b"who?", {"WWW-Authenticate": 'Basic realm="git"'})
        return self._cgi(body) if path.startswith("/git/") else self._file(path)

    def _file(self, path: str) -> None:
        file = self.web.root / path.lstrip("/")
        if not file.is_file():
            return self._send(404, b"not found")
        return self._send(200, file.read_bytes())

    def _cgi(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.web.root / "served"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path.removeprefix("/git"),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run([str(BACKEND)], input=body, env=environment, capture_output=True, check=False)
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        status = int(headers.pop("Status", "200").split()[0])
        self._send(status, content, headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/octet-stream"} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def web_server(root: Path, *names: str) -> Iterator[Web]:
    made = certificates(root, "localhost", *names)
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made.chain, made.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    web = Web(root, server.server_address[1], made.ca)
    handler.web = web  # type: ignore[attr-defined]
    server.handle_error = lambda *_args: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Ssh:
    """An sshd whose one user is the one who runs the tests, with a key that it lets in and one that it does not."""

    port: int
    root: Path
    key: str
    other_key: str
    known_hosts: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        return f"ssh://{getpass.getuser()}@{self.host}{self.root}/served/{name}.git"


@contextmanager
def ssh_server(root: Path) -> Iterator[Ssh]:
    folder = root / "sshd"
    folder.mkdir()
    for name in ("host", "user", "other"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder}/host", f"AuthorizedKeysFile {folder}/authorized", "UsePAM no",
        "StrictModes no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin yes", f"PidFile {folder}/pid",
    ]  # fmt: skip
    (folder / "config").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(SSHD), "-D", "-e", "-f", str(folder / "config")], stdout=log, stderr=log)
    try:
        wait_for(lambda: "listening" in (folder / "log").read_text().lower(), seconds=20, what="sshd")
        time.sleep(0.05)
        host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        keys = [(folder / name).read_text() for name in ("user", "other")]
        yield Ssh(port, root, keys[0], keys[1], f"[127.0.0.1]:{port} {host_key}\n")
    finally:
        process.terminate()
        process.wait(10)
