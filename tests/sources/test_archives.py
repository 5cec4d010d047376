"""Code from archives: over HTTPS, from a real S3 server, and as WebHDFS hands it out."""

import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from apps.credentials import services as credentials
from apps.experiments.models import Experiment
from apps.sources.models import Fetch
from apps.tracking.models import Tag
from tests import s3
from tests.factories import Stage, fresh
from tests.people import Cast
from tests.sources.conftest import TOKEN, fetch_of, files_in, https_credential, work
from tests.sources.servers import Web


def packed(files: dict[str, bytes], *, links: dict[str, str] | None = None) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tree:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tree.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tree.addfile(member)
    return raw.getvalue()


@pytest.fixture
def files(web: Web) -> Path:
    folder = web.root / "files"
    folder.mkdir(exist_ok=True)
    (folder / "code.tar.gz").write_bytes(packed({"train.py": b"print(1)\n"}))
    with zipfile.ZipFile(folder / "code.zip", "w") as made:
        made.writestr("train.py", "print(2)\n")
    (folder / "page.html").write_text("<html>")
    return folder


def fetched(stage: Stage, cast: Cast, **code: Any) -> tuple[Experiment, Fetch]:
    experiment = stage.submit(cast.alice, code=code)
    work()
    return experiment, fetch_of(experiment)


def test_over_https(cast: Cast, stage: Stage, web: Web, files: Path) -> None:
    experiment, fetch = fetched(stage, cast, archive=web.url("files/code.tar.gz"))
    assert (fetch.state, fetch.message, fetch.format) == ("ready", "", "tar.gz")
    assert files_in(fetch) == {"train.py": "print(1)\n"}
    assert fetch.sha256 == hashlib.sha256((files / "code.tar.gz").read_bytes()).hexdigest()
    stage.finish()
    assert fresh(experiment).state == "succeeded"
    assert not Tag.objects.filter(run=experiment.run).exists()  # there is no commit to tell of
    assert fetched(stage, cast, archive=web.url("files/code.zip"))[1].format == "zip"


def test_with_a_credential_and_a_redirect(cast: Cast, stage: Stage, web: Web, files: Path) -> None:
    web.who = f"ada:{TOKEN}"
    https_credential(cast.alice, web)
    url = web.url("files/code.tar.gz")
    assert fetched(stage, cast, archive=url, credential="my-git")[1].state == "ready"
    assert "name a credential" in fetched(stage, cast, archive=url)[1].message
    web.asked.clear()
    web.redirects["/files/moved"] = web.url("files/code", host="localhost")
    fetch = fetched(stage, cast, archive=web.url("files/moved.tar.gz"), credential="my-git")[1]
    assert (fetch.state, [who for _, who in web.asked]) == ("failed", [f"ada:{TOKEN}", ""])


def test_what_is_wrong_with_it(cast: Cast, stage: Stage, web: Web, files: Path, settings: Any) -> None:
    def said(name: str, content: bytes | None = None, **more: Any) -> str:
        if content is not None:
            (files / name).write_bytes(content)
        message: str = fetched(stage, cast, archive=web.url(f"files/{name}"), **more)[1].message
        return message

    assert said("none.zip") == "there is nothing at this address"
    assert said("page.html") == "it is neither a .tar.gz nor a .zip archive"
    assert said("broken.tar.gz", packed({"a": bytes(9999)})[:60]).startswith("it is no readable archive: ")
    assert said("out.tar.gz", packed({}, links={"x": "/etc/passwd"})) == "'x' is a link that leads out of the code"
    assert said("up.tar.gz", packed({"../x": b""})) == "'../x' is a path that leads out of the code"
    assert "its SHA-256 is another" in said("code.zip", sha256=f"sha256:{'0' * 64}")
    right = hashlib.sha256((files / "code.zip").read_bytes()).hexdigest()
    assert said("code.zip", sha256=f"sha256:{right}") == ""
    settings.FETCH_BYTES = 1 << 20
    assert "larger than 1 MiB" in said("bomb.tar.gz", packed({"zeros": bytes(40 << 20)}))
    settings.CODE_LIMIT_BYTES = 1000
    assert said("large.zip", b"PK" + bytes(5000)) == "it is larger than 0 MiB"
    for prefix in ("/files/loop",):
        web.redirects[prefix] = web.url("files/loop")
    assert "without end" in said("loop.zip")
    web.redirects["/files/plain"] = f"http://127.0.0.1:{web.port}/files/code"
    assert "without TLS" in said("plain.zip")
    settings.FETCH_CA_FILE = ""
    assert said("code.zip").startswith(f"the certificate of {web.host} is not accepted")


def test_a_server_that_drips(cast: Cast, stage: Stage, web: Web, files: Path, settings: Any) -> None:
    settings.FETCH_SECONDS = 2
    web.before = lambda _path: time.sleep(6)
    began = time.monotonic()
    assert fetched(stage, cast, archive=web.url("files/code.zip"))[1].message == "it took longer than 2 s"
    assert time.monotonic() - began < 4


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    if s3.binary() is None:
        pytest.skip("the S3 server is not installed")
    with s3.running(tmp_path_factory.mktemp("s3")) as server:
        server.client().put_object(
            Bucket=server.bucket, Key="a b/code.tar.gz", Body=packed({"train.py": b"print(3)\n"})
        )
        yield server


def test_from_s3(cast: Cast, stage: Stage, bucket: s3.Server, settings: Any) -> None:
    values = {
        "access_key_id": bucket.access_key,
        "secret_access_key": bucket.secret_key,
        "endpoint_url": bucket.url,
        "region": "us-east-1",
    }
    credentials.create_credential("mine", "s3", values, by=cast.alice)
    credentials.create_credential("wrong", "s3", {**values, "secret_access_key": "wrong-secret-41c7"}, by=cast.alice)
    url = f"s3://{bucket.bucket}/a%20b/code.tar.gz"
    fetch = fetched(stage, cast, archive=url, credential="mine")[1]
    assert (fetch.state, fetch.message) == ("ready", "")
    assert files_in(fetch) == {"train.py": "print(3)\n"}
    wrong = fetched(stage, cast, archive=url, credential="wrong")[1]
    assert (wrong.state, "does not accept the credential" in wrong.message) == ("failed", True), wrong.message
    missing = fetched(stage, cast, archive=f"s3://{bucket.bucket}/none.zip", credential="mine")[1]
    assert missing.message == "there is nothing at this address (NoSuchKey)"
    settings.FETCH_NETWORKS = []
    inside = fetched(stage, cast, archive=url, credential="mine")[1]
    assert inside.message == "127.0.0.1 is at 127.0.0.1, which is not a public address"


class _NameNode(BaseHTTPRequestHandler):
    """What WebHDFS does: the name node sends on to a data node, which answers."""

    asked: ClassVar[list[str]] = []

    def log_message(self, *_args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.asked.append(self.path)
        is_data = self.path.startswith("/data")
        body = packed({"train.py": b"print(4)\n"}) if is_data else b""
        self.send_response(200 if is_data else 307)
        if not is_data:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/data{self.path}")  # type: ignore[index]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_from_hdfs(cast: Cast, stage: Stage) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _NameNode)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        fetch = fetched(stage, cast, archive=f"hdfs://127.0.0.1:{server.server_address[1]}/user/ada/code.tar.gz")[1]
    finally:
        server.shutdown()
        server.server_close()
    assert (fetch.state, fetch.message) == ("ready", "")
    assert files_in(fetch) == {"train.py": "print(4)\n"}
    path = "/webhdfs/v1/user/ada/code.tar.gz?op=OPEN"
    assert _NameNode.asked == [path, f"/data{path}"]
