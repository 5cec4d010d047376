"""Code: content-addressed archives that specs refer to."""

import os
from pathlib import Path

from fathom.errors import NotFound
from fathom.models import CodeUpload
from fathom.packing import pack
from fathom.resources.paths import path
from fathom.transport import Transport


class CodeApi:
    """`client.code`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(self, folder: str | os.PathLike[str]) -> CodeUpload:
        """Pack a folder and upload it, unless the platform has exactly this content from you already.

        Raises: FathomError when it cannot be packed or is too large; Invalid when the platform refuses it.
        """
        packed = pack(Path(folder))
        try:
            return self.find(packed.ref) or self.put(packed.ref, packed.path)
        finally:
            packed.path.unlink(missing_ok=True)

    def find(self, ref: str) -> CodeUpload | None:
        """What you uploaded as `sha256:<hex>`, or None."""
        try:
            return CodeUpload.from_json(self._transport.request("GET", path("code", ref)).json())
        except NotFound:
            return None

    def put(self, ref: str, archive: Path, *, content_type: str = "application/gzip") -> CodeUpload:
        """Upload an archive (tar.gz, or zip as `application/zip`) whose SHA-256 is in `ref`."""
        headers = {"Content-Type": content_type}
        return CodeUpload.from_json(
            self._transport.request("PUT", path("code", ref), body=archive, headers=headers).json()
        )
