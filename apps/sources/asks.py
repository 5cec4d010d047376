"""What is asked for an archive, and with what says who asks. Nothing is asked here."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlunsplit

from apps.credentials.choices import Kind
from apps.credentials.services import Opened
from apps.sources.addresses import Address
from apps.sources.errors import FetchFailed

_LINK_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Ask:
    """One GET: `headers` hold what says who asks."""

    url: str
    headers: Mapping[str, str]
    may_be_plain: bool = False


def ask_for(address: Address, given: Opened) -> Ask:
    """Return the first question to a server. Raises: FetchFailed without the credential that it takes."""
    return {"s3": _from_s3, "hdfs": _from_hdfs}.get(address.scheme, _from_web)(address, given)


def _from_web(address: Address, given: Opened) -> Ask:
    if given.kind != Kind.GIT_HTTPS:
        return Ask(address.url, {})
    who = f"{given.public['username']}:".encode() + given.secret["token"]
    return Ask(address.url, {"Authorization": f"Basic {base64.b64encode(who).decode()}"})


def _from_s3(address: Address, given: Opened) -> Ask:
    """Sign an address as S3 wants it; nothing is asked here, and boto3 opens no connection."""
    import boto3  # noqa: PLC0415 -- only who fetches from S3 pays for loading it
    from botocore.config import Config  # noqa: PLC0415 -- as above

    if given.kind != Kind.S3:
        msg = "a bucket is asked with an S3 credential, and none is named"
        raise FetchFailed(msg)
    endpoint = given.public.get("endpoint_url")
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=given.public.get("region") or "us-east-1",
        aws_access_key_id=given.public["access_key_id"],
        aws_secret_access_key=given.secret["secret_access_key"].decode(),
        aws_session_token=given.secret["session_token"].decode() if "session_token" in given.secret else None,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path" if endpoint else "auto"}),
    )
    what = {"Bucket": address.host, "Key": unquote(address.path.lstrip("/"))}
    return Ask(client.generate_presigned_url("get_object", Params=what, ExpiresIn=_LINK_SECONDS), {}, may_be_plain=True)


def _from_hdfs(address: Address, _given: Opened) -> Ask:
    """Ask WebHDFS, the name node's HTTP port. It sends us on to a data node."""
    path = quote(unquote(address.path), safe="/")
    user = f"&user.name={quote(address.user)}" if address.user else ""
    query = f"op=OPEN{user}"
    url = urlunsplit(("http", f"{address.host}:{address.port}", f"/webhdfs/v1{path}", query, ""))
    return Ask(url, {}, may_be_plain=True)
