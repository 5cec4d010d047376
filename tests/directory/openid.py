"""A real OpenID provider for the tests: panva's certified oidc-provider, in a Node process, and a browser without scripts."""

import fcntl
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
from joserfc.jwk import ECKey, RSAKey

HERE = Path(__file__).parent / "provider"
CLIENT, SECRET = "fathom", "a-secret-of-the-tests"


def installed() -> Path:
    """Return where the provider is installed: once per lock file, outside the repository."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node and npm are not installed")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / f"fathom-oidc-provider-{lock}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two test processes may want it at once
        if not (folder / "done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, folder / name)
            command = [npm, "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                pytest.skip(f"the OpenID provider cannot be installed: {done.stderr.strip()[-200:]}")
            (folder / "done").touch()
        fresh = folder / "provider.mjs.new"  # it has to lie beside its modules
        shutil.copy(HERE / "provider.mjs", fresh)
        fresh.replace(folder / "provider.mjs")
    return folder


class OpenIdProvider:
    """One provider. `people` and `tamper` change what it says from the next request on."""

    def __init__(self, redirect_uri: str, *, claims_in_id_token: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fathom-oidc-"))
        self.port = _free_port()
        self.keys = [RSAKey.generate_key(2048, {"kid": "rsa", "alg": "RS256", "use": "sig"}),
                     ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256", "use": "sig"})]  # fmt: skip
        shared = {"redirect_uris": [redirect_uri], "grant_types": ["authorization_code"], "response_types": ["code"]}
        clients = [
            {"client_id": CLIENT, "client_secret": SECRET, **shared},
            {"client_id": "elliptic", "client_secret": SECRET, "id_token_signed_response_alg": "ES256", **shared},
            {"client_id": "public", "token_endpoint_auth_method": "none", **shared},
            {"client_id": "other", "client_secret": SECRET, **shared},
        ]
        config = {
            "port": self.port,
            "clients": clients,
            "keys": [key.as_dict(private=True) for key in self.keys],
            "claims_in_id_token": claims_in_id_token,
        }
        self._write("config.json", config)
        self.people: dict[str, Any] = {}
        self.know({})
        self.process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        home = installed()
        node = shutil.which("node")
        assert node is not None
        command = [node, str(home / "provider.mjs"), str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def know(self, people: dict[str, Any]) -> None:
        """Forget everybody but `people`: id -> claims; and be honest."""
        self._write("people.json", people)
        (self.folder / "tamper.json").unlink(missing_ok=True)

    def tamper(self, **how: Any) -> None:
        """Sign ID tokens with other `claims`, `without` some, with another `alg` or `key`, or `drop` them."""
        self._write("tamper.json", how)

    def _write(self, name: str, content: Any) -> None:
        (self.folder / name).write_text(json.dumps(content))


def walk(url: str, login: str, *, until: str, cancel: bool = False) -> str:
    """Go through the provider's pages as a person would: forms, links and redirects. Return where it leads at last."""
    with requests.Session() as browser:
        answer = browser.get(url, allow_redirects=False, timeout=10)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if answer.is_redirect:
                url = urljoin(url, answer.headers["Location"])
                if url.startswith(until):
                    return url
                answer = browser.get(url, allow_redirects=False, timeout=10)
            elif cancel:
                url = urljoin(url, re.search(r'href="([^"]*/abort)"', answer.text).group(1))  # type: ignore[union-attr]
                answer = browser.get(url, allow_redirects=False, timeout=10)
            else:
                assert answer.status_code == 200, answer.text
                action = re.search(r'<form[^>]* action="([^"]+)"', answer.text)
                assert action is not None, answer.text
                hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
                url = urljoin(url, html.unescape(action.group(1)))
                form = {**hidden, "login": login, "password": "any"}
                answer = browser.post(url, form, allow_redirects=False, timeout=10)
    raise AssertionError(url)


def _free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
