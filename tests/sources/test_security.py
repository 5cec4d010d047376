"""What must not happen: addresses inside, hostile trees and servers, secrets in the open."""

import io
import os
import re
import socket
import subprocess
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest
from django.db import connection

from apps.core.errors import Invalid
from apps.sources import proxy
from apps.sources.errors import FetchFailed
from apps.sources.models import Fetch
from apps.sources.packing import Packer
from tests.factories import Stage, fresh
from tests.people import Cast
from tests.sources.conftest import TOKEN, fetch_of, https_credential, ssh_credential, work
from tests.sources.servers import Ssh, Web, git, repository


@pytest.fixture(scope="module")
def plain(root: Path) -> Path:
    return repository(root, "plain", {"a.txt": "a"})


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc", "/etc", "../x", "ext::sh -c id", "git://example.org/x", "http://example.org/x.git", "-uid", "--upload-pack=id",
        "https://ada:secret-9b1c@example.org/x.git", "https://secret-9b1c@example.org/x.git", "https://example.org", "https:///x", "ssh://-oProxyCommand=id/x",
        "ssh://-oA=1@example.org/x", "git@-host:x", "-x@host:y", "git@host:-x", "https://exa mple.org/x", "https://example.org/x\n.git", "https://example.org/\x00",
        "https://example.org/%00x", "https://example.org/x#y", "ssh://git:secret-9b1c@example.org/x", "https://[::1]/x", "https://example.org:99999/x",
        "https://exämple.org/x", "fd::17", "transport::address", "s3://bucket/x", "a" * 501, "git@host::x",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_repository(cast: Cast, stage: Stage, url: str) -> None:
    with pytest.raises(Invalid) as caught:
        stage.submit(cast.alice, code={"git": {"url": url}})
    assert list(caught.value.errors) == ["code.git.url"]
    assert "secret-9b1c" not in str(caught.value.errors)
    assert not Fetch.objects.exists()


@pytest.mark.parametrize(
    ("code", "field"),
    [
        ({}, "code"),
        ({"upload": f"sha256:{'a' * 64}", "git": {"url": "https://example.org/x"}}, "code"),
        ({"git": {"url": "https://example.org/x"}, "credential": "x"}, "code.credential"),
        ({"git": {"url": "https://example.org/x", "ref": "-x"}}, "code.git.ref"),
        ({"git": {"url": "https://example.org/x", "ref": "a..b"}}, "code.git.ref"),
        ({"git": {"url": "https://example.org/x", "ref": "a b"}}, "code.git.ref"),
        ({"git": {"url": "https://example.org/x", "ref": "x:y"}}, "code.git.ref"),
        ({"git": {"url": "https://example.org/x", "ref": "a\x00"}}, "code.git.ref"),
        ({"git": {"url": "https://example.org/x", "branch": "*"}}, "code.git.branch"),
        ({"git": {"url": "https://example.org/x", "subfolder": "../x"}}, "code.git.subfolder"),
        ({"git": {"url": "https://example.org/x", "subfolder": "a//b"}}, "code.git.subfolder"),
        ({"git": {"url": "https://example.org/x", "patch": "x"}}, "code.git.patch"),
        ({"git": {"url": "https://example.org/x", "submodules": "yes"}}, "code.git.submodules"),
        ({"git": {"url": "https://example.org/x", "credential": "none"}}, "code.git.credential"),
        ({"git": {"url": "ssh://git@example.org/x"}}, "code.git.credential"),
        ({"git": {"url": "https://example.org/x", "depth": 3}}, "code.git.depth"),
        ({"git": {}}, "code.git"),
        ({"archive": "http://example.org/x.zip"}, "code.archive"),
        ({"archive": "file:///etc/passwd"}, "code.archive"),
        ({"archive": "s3://bucket/x.zip"}, "code.credential"),
        ({"archive": "https://u:p@example.org/x.zip"}, "code.archive"),
        ({"archive": "https://example.org/x.zip", "sha256": "x"}, "code.sha256"),
    ],
)
def test_what_is_no_code(cast: Cast, stage: Stage, code: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        stage.submit(cast.alice, code=code)
    assert list(caught.value.errors) == [field], caught.value.errors


def test_a_credential_is_for_its_kind_and_host(cast: Cast, stage: Stage, web: Web, ssh: Ssh) -> None:
    https_credential(cast.alice, web)
    ssh_credential(cast.alice, ssh)
    for url, name, said in (
        ("https://example.org/x", "my-git", f"It is for {web.host}, not for example.org."),
        (web.url("git/x.git"), "my-ssh", "For https:// it has to be of the kind"),
        ("git@example.org:x", "my-git", "For ssh:// it has to be of the kind"),
    ):
        with pytest.raises(Invalid) as caught:
            stage.submit(cast.alice, code={"git": {"url": url, "credential": name}})
        assert said in caught.value.errors["code.git.credential"][0]
    with pytest.raises(Invalid) as caught:  # charlie may not see it
        stage.submit(cast.charlie, code={"git": {"url": web.url("git/x.git"), "credential": "my-git"}})
    assert list(caught.value.errors) == ["code.git.credential"]


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fd00::1", "100.64.0.1"]
)
def test_a_name_that_leads_inside(
    cast: Cast, stage: Stage, web: Web, ssh: Ssh, settings: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    settings.FETCH_NETWORKS = []
    _resolve(monkeypatch, {"inside.example": address})
    said = f"inside.example is at {address}, which is not a public address"
    ssh_credential(cast.alice, ssh, host="inside.example")
    codes: list[dict[str, Any]] = [
        {"git": {"url": f"https://inside.example:{web.port}/git/plain.git"}},
        {"git": {"url": "git@inside.example:plain", "credential": "my-ssh"}},
        {"archive": f"https://inside.example:{web.port}/files/x.zip"},
        {"archive": f"hdfs://inside.example:{web.port}/files/x.zip"},
    ]
    for code in codes:
        experiment = stage.submit(cast.alice, code=code)
        work()
        assert (fetch_of(experiment).state, fetch_of(experiment).message) == ("failed", said), fetch_of(experiment).log
    assert web.asked == []


def test_an_operators_networks_are_not_everything(cast: Cast, stage: Stage, web: Web, settings: Any) -> None:
    settings.FETCH_NETWORKS = ["10.0.0.0/8"]
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/plain.git")}})
    work()
    assert "not a public address" in fetch_of(experiment).message


def test_the_address_that_was_judged_is_the_one_that_is_asked(
    web: Web, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """A name that is public when it is looked at, and inside a moment later."""
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    _resolve(monkeypatch, {"rebind.example": lambda: next(answers)})
    asked: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", _connecting(asked))
    with proxy.Gate([]).opened() as gate:
        assert gate.connect("rebind.example", 443) is None
    assert asked == [("93.184.216.34", 443)]
    assert next(answers) == "127.0.0.1"  # it was resolved once


def _resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, Any]) -> None:
    real = socket.getaddrinfo

    def look(host: Any, port: Any, *words: Any, **named: Any) -> Any:
        found = names.get(host, host)
        return real(found() if callable(found) else found, port, *words, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look)


def _connecting(asked: list[Any]) -> Any:
    def connect(_self: Any, address: Any) -> None:
        asked.append(address)
        raise ConnectionRefusedError(111, "refused")

    return connect


def test_a_redirect_that_leads_inside(
    cast: Cast, stage: Stage, web: Web, plain: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first address may be asked, the second not."""
    _resolve(monkeypatch, {"inside.example": "169.254.169.254"})
    web.redirects["/git/away.git"] = "https://inside.example/git/plain.git"
    web.redirects["/files/away"] = "https://inside.example/latest/meta-data"
    for code in ({"git": {"url": web.url("git/away.git")}}, {"archive": web.url("files/away.zip")}):
        experiment = stage.submit(cast.alice, code=code)
        work()
        assert fetch_of(experiment).message == "inside.example is at 169.254.169.254, which is not a public address"
    assert len(web.asked) == 2


def test_the_gate_lets_in_who_knows_its_password(web: Web) -> None:
    with proxy.Gate([]).opened() as gate, socket.create_connection(("127.0.0.1", gate.port), 5) as line:
        line.sendall(f"CONNECT 127.0.0.1:{web.port} HTTP/1.1\r\n\r\n".encode())
        assert line.recv(100).startswith(b"HTTP/1.1 403")
        assert (gate.refused, gate.unreached) == ("", "")  # nobody was asked


@pytest.mark.parametrize(
    ("path", "content"), [("link", "-> ../../etc/passwd"), ("link", "-> /etc/passwd"), ("a/b", "-> ../../x")]
)
def test_a_link_that_leads_out(cast: Cast, stage: Stage, web: Web, root: Path, path: str, content: str) -> None:
    name = f"links-{abs(hash((path, content)))}"
    made = repository(root, name, {"a.txt": "a", "inside": "x"})
    (made / path).parent.mkdir(exist_ok=True)
    (made / path).symlink_to(content.removeprefix("-> "))
    git(made, "add", "-A")
    git(made, "commit", "--quiet", "-m", "link")
    git(made, "push", "--quiet", "origin", "HEAD")
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url(f"git/{name}.git")}})
    work()
    assert fetch_of(experiment).message == f"'{path}' is a link that leads out of the code"


def test_a_tree_with_a_folder_named_as_gits_own(cast: Cast, stage: Stage, web: Web, root: Path) -> None:
    """Made by hand: git itself refuses to."""
    made = repository(root, "dotgit", {"a.txt": "a"})
    blob = git(made, "hash-object", "-w", "a.txt")
    for name in (".git", ".GIT", "git~1", ".g\u200cit"):
        inner = _tree(made, f"100644 blob {blob}\tconfig")
        tree = _tree(made, f"040000 tree {inner}\t{name}")
        at = git(made, "commit-tree", tree, "-m", "hostile")
        git(made, "push", "--quiet", "--force", "origin", f"{at}:refs/heads/hostile")
        experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/dotgit.git"), "ref": "hostile"}})
        work()
        said = fetch_of(experiment).message  # git itself refuses the plain one
        assert re.search("would be taken for git's own|invalid path", said), (name, said)


def _tree(folder: Path, line: str) -> str:
    """Write a tree of one entry, whatever its name."""
    head, name = line.split("\t")
    mode, _, sha = head.split()
    data = mode.lstrip("0").encode() + b" " + name.encode() + b"\0" + bytes.fromhex(sha)
    words = ["git", "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    return subprocess.run(words, cwd=folder, input=data, capture_output=True, check=True).stdout.decode().strip()


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\b", "x" * 300, "/".join("a" * 60)])
def test_names_that_no_archive_may_have(name: str) -> None:
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w") as tree:
        tree.addfile(tarfile.TarInfo(name))
    source.seek(0)
    with pytest.raises(FetchFailed):
        Packer(io.BytesIO(), 0).add(source)


def test_devices_are_refused() -> None:
    source = io.BytesIO()
    with tarfile.open(fileobj=source, mode="w") as tree:
        member = tarfile.TarInfo("null")
        member.type = tarfile.CHRTYPE
        tree.addfile(member)
    source.seek(0)
    with pytest.raises(FetchFailed, match="a device"):
        Packer(io.BytesIO(), 0).add(source)


def test_a_repository_that_is_too_large(cast: Cast, stage: Stage, web: Web, root: Path, settings: Any) -> None:
    made = repository(root, "huge", {"noise.bin": os.urandom(6 << 20)})
    settings.FETCH_BYTES = 2 << 20
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/huge.git")}})
    work()
    fetch = fetch_of(experiment)
    assert (fetch.state, "larger than" in fetch.message) == ("failed", True), fetch.message
    settings.FETCH_BYTES = 1 << 30
    settings.CODE_LIMIT_BYTES = 1 << 20
    again = stage.submit(cast.alice, code={"git": {"url": web.url("git/huge.git")}})
    work()
    assert fetch_of(again).message == "packed it is larger than 1 MiB"
    assert made.exists()


def test_a_tree_of_too_many_files_and_one_that_grows(
    cast: Cast, stage: Stage, web: Web, root: Path, settings: Any
) -> None:
    settings.FETCH_FILES = 20
    repository(root, "many", {f"f{no}": "" for no in range(30)})
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/many.git")}})
    work()
    assert fetch_of(experiment).message == "it has more than 20 files and folders"
    repository(root, "zeros", {"zeros": bytes(30 << 20)})  # small on the wire
    settings.FETCH_BYTES = 8 << 20
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/zeros.git")}})
    work()
    assert "larger than 8 MiB" in fetch_of(experiment).message


def test_a_server_that_takes_for_ever(cast: Cast, stage: Stage, web: Web, plain: Path, settings: Any) -> None:
    settings.FETCH_SECONDS = 2
    web.before = lambda _path: time.sleep(8)
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/plain.git")}})
    began = time.monotonic()
    work()
    assert time.monotonic() - began < 6
    assert fetch_of(experiment).message == "it took longer than 2 s"


def test_a_server_that_fails_for_now_is_asked_again_and_then_given_up(
    cast: Cast, stage: Stage, web: Web, plain: Path
) -> None:
    web.answers["/git/"] = 503
    experiment = stage.submit(cast.alice, code={"git": {"url": web.url("git/plain.git")}})
    work()
    fetch = fetch_of(experiment)
    assert (fetch.state, fetch.tries) == ("queued", 1)
    assert fetch.message.startswith(f"{web.host} did not answer as it should: ")
    assert fresh(experiment).message.startswith(
        f"waiting: its code is being fetched from {web.host} ({web.host} did not"
    )
    web.answers.clear()
    work()
    assert fetch_of(experiment).state == "ready"
    web.answers["/git/"] = 500
    other = stage.submit(cast.alice, code={"git": {"url": web.url("git/plain.git")}})
    for _ in range(5):
        work()
    assert fetch_of(other).state == "failed"
    assert fetch_of(other).message.endswith("; it was tried 5 times")
    assert fresh(other).state == "failed"


def test_nobody_answers(cast: Cast, stage: Stage) -> None:
    experiment = stage.submit(cast.alice, code={"git": {"url": "https://127.0.0.1:9/x.git"}})
    work()
    assert fetch_of(experiment).message == "127.0.0.1 does not answer (Connection refused)"
    experiment = stage.submit(cast.alice, code={"git": {"url": "https://no-such-name.invalid/x.git"}})
    work()
    assert fetch_of(experiment).message == "the name no-such-name.invalid cannot be resolved"


def test_a_secret_is_nowhere(
    cast: Cast, stage: Stage, web: Web, ssh: Ssh, plain: Path, settings: Any, capfd: Any
) -> None:
    """Not in a command line or an environment while it is used, nor in any table, file or line of a log afterwards."""
    web.who = f"ada:{TOKEN}"
    https_credential(cast.alice, web)
    https_credential(cast.alice, web, "tok-wrong-canary-17f3", name="wrong")
    ssh_credential(cast.alice, ssh)
    key_line = ssh.key.splitlines()[2]
    secrets = [TOKEN, "tok-wrong-canary-17f3", key_line]
    seen: list[str] = []
    web.before = lambda _path: seen.extend(_processes())
    web.answers["/git/leak"] = 500
    for code in (
        {"url": web.url("git/plain.git"), "credential": "my-git"},
        {"url": web.url("git/plain.git"), "credential": "wrong"},
        {"url": web.url("git/leak.git"), "credential": "my-git"},
        {"url": ssh.url("plain"), "credential": "my-ssh"},
    ):
        stage.submit(cast.alice, code={"git": code})
    watching = _Watch()
    with watching:
        work()
    seen += watching.seen
    assert [fetch.state for fetch in Fetch.objects.order_by("pk")] == ["ready", "failed", "queued", "ready"]
    assert any("git-remote-http" in line for line in seen)
    assert any("ssh" in line and "HostKeyAlias" in line for line in seen)
    told = capfd.readouterr()
    texts = [*seen, told.out, told.err, *_tables(), *_files(Path(settings.FETCH_ROOT)), *_files(Path("/dev/shm"))]
    for secret in secrets:
        assert not [text[:200] for text in texts if secret in text]
    assert any("my-git" in text for text in texts)  # it was looked for where something is


class _Watch:
    """Reads the processes of the machine again and again."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self.seen.extend(_processes())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_args: object) -> None:
        self._stop.set()
        self._thread.join(5)


def _processes() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                found.append((folder / name).read_bytes().decode("utf-8", "replace").replace("\0", " "))
            except OSError:
                continue
    return [line for line in found if "git" in line or "ssh" in line]


def _tables() -> list[str]:
    with connection.cursor() as cursor:
        names = connection.introspection.table_names(cursor)
        found = []
        for name in names:
            cursor.execute(f'SELECT row_to_json(t)::text FROM "{name}" t')
            found += [row[0] for row in cursor.fetchall()]
    return found


def _files(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("fetch-*/*") if path.is_file()] if folder.exists() else []
    return [path.read_bytes().decode("utf-8", "replace") for path in files]


def test_nothing_is_left_on_the_disk(cast: Cast, stage: Stage, web: Web, plain: Path, settings: Any) -> None:
    stage.submit(cast.alice, code={"git": {"url": web.url("git/plain.git")}})
    work()
    assert list(Path(settings.FETCH_ROOT).glob("fetch-*")) == []
    assert not re.search("git", " ".join(str(path) for path in Path("/dev/shm").glob("fathom-fetch-*/fetch-*")))


def test_tools_are_nobody_and_see_nothing(settings: Any, tmp_path: Path) -> None:
    from apps.sources import box, sandbox

    if not sandbox.is_boxed():
        pytest.skip("bubblewrap does not work here")
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    script = f"id -u; cat {secret} 2>&1; ls /root /home /work 2>&1; ls /proc | grep -c '^[0-9]'; env; cat /etc/shadow 2>&1; echo x > /usr/x"
    with box.opened(lambda _data: None) as made:
        given = made.give("token", b"sesame-in-memory")
        done = made.run(["/bin/sh", "-c", f"{script}; cat {given}"], {"A": "b"})
    lines = done.out.decode().splitlines()
    assert lines[0] == str(settings.FETCH_UID if os.geteuid() == 0 else os.geteuid())
    assert "sesame" not in done.out.decode().replace("sesame-in-memory", "")
    assert lines[-1] == "sesame-in-memory"
    assert "SECRET_KEY" not in done.out.decode()
    assert "DATABASE_URL" not in done.out.decode()
    assert not Path("/usr/x").exists()


def test_the_machines_own_certificates_are_believed(web: Web, settings: Any) -> None:
    """They are seen in the box, and stay in the bundle when an operator adds his own."""
    from apps.sources import access, box

    settings.FETCH_CA_FILE = str(web.ca)
    bundle = access._bundle().decode()
    assert Path(web.ca).read_text() in bundle
    system = next((path for path in access._BUNDLES if path.is_file()), None)
    if system is not None:
        assert bundle.count("BEGIN CERTIFICATE") > 10
        with box.opened(lambda _data: None) as made:
            assert made.run(["/bin/sh", "-c", f"grep -c BEGIN {system}"], {}).code == 0
