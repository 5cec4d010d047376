"""Blobs in a bucket of an S3 server. boto3 is loaded when the settings name a bucket, and not before.

SECURITY: the bucket, the address and the keys come from the settings alone; nothing a person sends names a place to read
from or to write to.
"""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote, urlsplit

import structlog
from django.conf import settings
from typing_extensions import override

from apps.core.blobs.local import LocalStore, nothing
from apps.core.blobs.store import Found, Missing, Store
from apps.core.errors import Unready

logger = structlog.get_logger(__name__)

_CHUNK = 1 << 20
_COPY_WHOLE_BELOW = 5 << 30  # S3's own limit of one copy
_ABSENT = {"404", "NoSuchKey", "NoSuchUpload", "NotFound"}
_NAME = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(?:/[A-Za-z0-9._-]+)*)/?", re.ASCII)
_REFUSED = {
    "SignatureDoesNotMatch": "it refuses our secret key",
    "InvalidAccessKeyId": "it does not know our access key",
    "AccessDenied": "our keys may not do this there",
    "403": "it refuses our keys",
    "NoSuchBucket": "there is no such bucket",
    "ExpiredToken": "our keys have run out",
}


class S3Store(Store):
    """`<prefix>/sha256/ab/cdef…` are the blobs, `<prefix>/incoming/<name>` uploads in parts that became one object."""

    is_local: ClassVar[bool] = False

    def __init__(self, name: str, spool: LocalStore) -> None:
        place = _NAME.fullmatch(name)
        if place is None:
            msg = f"FATHOM_ARTIFACT_STORE must be empty or s3://bucket[/prefix], not {name!r}."
            raise Unready(msg)
        self._bucket, self._prefix = place["bucket"], place["prefix"].strip("/")
        self._spool = spool  # on this machine: what is on its way, and code that a local backend takes as a path
        self._client = _client(settings.S3_ENDPOINT)
        self._public = _client(settings.S3_PUBLIC_ENDPOINT) if settings.S3_PUBLIC_ENDPOINT else None

    @override
    def put(self, source: Path, sha256: str) -> None:
        with _errors():
            self._client.upload_file(str(source), self._bucket, self._key(sha256))

    @override
    def open(self, sha256: str, start: int = 0, stop: int | None = None) -> BinaryIO:
        if stop is not None and stop <= start:
            return nothing()
        last = "" if stop is None else stop - 1
        part = {"Range": f"bytes={start}-{last}"} if start or stop is not None else {}
        with _errors():
            body: BinaryIO = self._client.get_object(Bucket=self._bucket, Key=self._key(sha256), **part)["Body"]
        return body

    @override
    def size_of(self, sha256: str) -> int | None:
        with suppress(Missing), _errors():
            return int(self._client.head_object(Bucket=self._bucket, Key=self._key(sha256))["ContentLength"])
        return None

    @override
    def local_path(self, sha256: str) -> Path:
        path = self._spool.path_of(sha256)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._spool.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, partial = tempfile.mkstemp(dir=self._spool.incoming)
            os.close(descriptor)
            with _errors():
                self._client.download_file(self._bucket, self._key(sha256), partial)
            Path(partial).replace(path)
        return path

    @override
    def delete(self, sha256: str) -> None:
        self._spool.delete(sha256)
        with _errors():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(sha256))

    @override
    def walk(self) -> Iterator[Found]:
        top = self._at("sha256/")
        with _errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=top):
                for found in page.get("Contents", ()):
                    digest = found["Key"].removeprefix(top).replace("/", "")
                    if len(digest) == 64:  # noqa: PLR2004 -- length of a SHA-256
                        yield Found(digest, int(found["Size"]), found["LastModified"].astimezone(UTC))

    @override
    def check(self) -> None:
        key = self._at("probe")
        with _errors(f"The S3 server at {self._client.meta.endpoint_url} cannot be used for the bucket {self._bucket}"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=b"probe")
            self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            self._client.delete_object(Bucket=self._bucket, Key=key)

    @override
    def begin(self, name: str) -> str:
        with _errors():
            return str(self._client.create_multipart_upload(**self._upload(name))["UploadId"])

    @override
    def put_part(self, name: str, ref: str, number: int, source: Path) -> None:
        with _errors(), source.open("rb") as file:
            self._client.upload_part(**self._upload(name), UploadId=ref, PartNumber=number, Body=file)

    @override
    def parts(self, name: str, ref: str) -> Mapping[int, int]:
        return {number: size for number, (size, _) in self._listed(name, ref).items()}

    def _listed(self, name: str, ref: str) -> dict[int, tuple[int, str]]:
        newest: dict[int, Any] = {}
        with suppress(Missing), _errors():
            for page in self._client.get_paginator("list_parts").paginate(**self._upload(name), UploadId=ref):
                for part in page.get("Parts", ()):
                    known = newest.get(part["PartNumber"])  # there are servers that list what was replaced as well
                    if known is None or part["LastModified"] > known["LastModified"]:
                        newest[part["PartNumber"]] = part
        return {number: (int(part["Size"]), part["ETag"]) for number, part in newest.items()}

    @override
    def join(self, name: str, ref: str, count: int) -> Iterator[bytes]:
        """Let the server make one object of the parts, and read it: its hash is known to nobody else."""
        parts = self._listed(name, ref)
        if parts:  # none are left when an earlier call came so far
            if any(number not in parts for number in range(1, count + 1)):
                raise Missing
            chosen = [{"PartNumber": number, "ETag": parts[number][1]} for number in range(1, count + 1)]
            with suppress(Missing), _errors():
                self._client.complete_multipart_upload(
                    **self._upload(name), UploadId=ref, MultipartUpload={"Parts": chosen}
                )
        with _errors():
            body = self._client.get_object(**self._upload(name))["Body"]
            yield from body.iter_chunks(_CHUNK)

    @override
    def publish(self, name: str, sha256: str, joined: Path | None) -> None:
        source = self._upload(name)
        with _errors():
            # A completed object cannot be changed through the addresses that were given out: what was hashed is copied.
            size = self._client.head_object(**source)["ContentLength"]
            if size < _COPY_WHOLE_BELOW:
                self._client.copy_object(Bucket=self._bucket, Key=self._key(sha256), CopySource=source)
            else:
                self._client.copy(source, self._bucket, self._key(sha256))

    @override
    def abort(self, name: str, ref: str) -> None:
        with suppress(Missing), _errors():
            self._client.abort_multipart_upload(**self._upload(name), UploadId=ref)
        with suppress(Missing), _errors():
            self._client.delete_object(**self._upload(name))

    @override
    def leftovers(self, before: datetime) -> Iterator[str]:
        yield from self._spool.leftovers(before)
        top = self._at("incoming/")
        with _errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=top):
                for found in page.get("Contents", ()):
                    if found["LastModified"] < before:
                        yield found["Key"].removeprefix(top)
            for page in self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=top):
                for begun in page.get("Uploads", ()):
                    if begun["Initiated"] < before:
                        self._client.abort_multipart_upload(
                            Bucket=self._bucket, Key=begun["Key"], UploadId=begun["UploadId"]
                        )

    @override
    def sign_part(self, name: str, ref: str, number: int, size: int, *, seconds: int) -> str | None:
        if self._public is None:
            return None
        what = {**self._upload(name), "UploadId": ref, "PartNumber": number, "ContentLength": size}
        return str(self._public.generate_presigned_url("upload_part", what, ExpiresIn=seconds))

    @override
    def sign_get(self, sha256: str, filename: str, *, seconds: int) -> str | None:
        if self._public is None:
            return None
        # SECURITY: always a download of no type, so that nothing of it can run on the store's host name.
        what = {
            "Bucket": self._bucket,
            "Key": self._key(sha256),
            "ResponseContentType": "application/octet-stream",
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
        }
        return str(self._public.generate_presigned_url("get_object", what, ExpiresIn=seconds))

    def _key(self, sha256: str) -> str:
        return self._at(f"sha256/{sha256[:2]}/{sha256[2:]}")

    def _upload(self, name: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._at(f"incoming/{name}")}

    def _at(self, rest: str) -> str:
        return f"{self._prefix}/{rest}" if self._prefix else rest


def _client(endpoint: str) -> Any:
    import boto3  # noqa: PLC0415 -- 0.3 s and 30 MB that an installation without S3 does without
    from botocore.config import Config  # noqa: PLC0415 -- as above

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=settings.S3_REGION or None,
        aws_access_key_id=settings.S3_ACCESS_KEY or None,  # without: what the machine gives, as boto3 looks for it
        aws_secret_access_key=settings.S3_SECRET_KEY or None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=60,
            max_pool_connections=50,
            retries={"total_max_attempts": 3, "mode": "standard"},
            s3={"addressing_style": "path" if endpoint and not _is_amazon(endpoint) else "auto"},
            # Older servers do not know the checksums that boto3 adds by itself; ours is the SHA-256 of the whole.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _is_amazon(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")


@contextmanager
def _errors(what: str = "The store of artifacts cannot be used") -> Iterator[None]:
    """Turn what boto3 raises into our errors. Raises: Missing, Unready."""
    from boto3.exceptions import Boto3Error  # noqa: PLC0415 -- see _client
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 -- as above

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _ABSENT:
            raise Missing from error
        logger.warning("store_refused", code=code, operation=error.operation_name)
        msg = f"{what}: {_REFUSED.get(code, f'it answers {code}')}."
        raise Unready(msg) from error
    except (BotoCoreError, Boto3Error) as error:
        code = next((word for word in _REFUSED if f"({word})" in str(error)), "")
        logger.warning("store_unreachable", error=type(error).__name__, code=code)
        msg = f"{what}: {_REFUSED.get(code, 'it does not answer')}."
        raise Unready(msg) from error
