"""Code: content-addressed archives and patches that specs refer to, and commits that the platform fetches."""

import hashlib
import os
import tempfile
from pathlib import Path

from fathom.errors import NotFound
from fathom.models import CodeUpload
from fathom.packing import pack
from fathom.resources.paths import path
from fathom.spec import GitCode
from fathom.transport import Transport
from fathom.worktree import capture


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

    def from_git(
        self, folder: str | os.PathLike[str] = ".", *, credential: str = "", submodules: bool = False
    ) -> GitCode:
        """What to put under `code.git`: the commit of the working tree that `folder` lies in, with its changes uploaded.

        `credential` is the platform's, with which it fetches the commit. Raises: FathomError when there is no working
        tree, no remote, or the commit was not pushed.
        """
        found = capture(folder)
        code: GitCode = {"url": found.url, "ref": found.commit}
        if found.branch:
            code["branch"] = found.branch
        if found.subfolder:
            code["subfolder"] = found.subfolder
        if credential:
            code["credential"] = credential
        if submodules:
            code["submodules"] = True
        if found.is_dirty:
            code["patch"] = self.upload_patch(found.patch).ref
        return code

    def upload_patch(self, patch: bytes) -> CodeUpload:
        """Upload what `git diff --binary` says, unless the platform has exactly this from you already."""
        ref = f"sha256:{hashlib.sha256(patch).hexdigest()}"
        with tempfile.TemporaryDirectory(prefix="fathom-patch-") as scratch:
            file = Path(scratch) / "patch"
            file.write_bytes(patch)
            return self.find(ref) or self.put(ref, file, content_type="text/x-diff")

    def find(self, ref: str) -> CodeUpload | None:
        """What you uploaded as `sha256:<hex>`, or None."""
        try:
            return CodeUpload.from_json(self._transport.request("GET", path("code", ref)).json())
        except NotFound:
            return None

    def put(self, ref: str, archive: Path, *, content_type: str = "application/gzip") -> CodeUpload:
        """Upload an archive (tar.gz, zip as `application/zip`), or a patch as `text/x-diff`, whose SHA-256 is in `ref`."""
        headers = {"Content-Type": content_type}
        return CodeUpload.from_json(
            self._transport.request("PUT", path("code", ref), body=archive, headers=headers).json()
        )
