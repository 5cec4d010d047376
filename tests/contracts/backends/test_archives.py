"""Code archives: the good ones arrive as they were, the hostile ones are refused and touch nothing."""

import gzip
import hashlib
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.compute.backends.local.archive import (
    BadArchive,
    Limits,
    check_content,
    unpack,
)
from apps.compute.contract import CodeArchive, Phase, WorkloadSpec

from .harness import SMALL, LocalCluster

LIMITS = Limits(max_bytes=32 << 20, max_files=100, max_ratio=100)


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if content else None)
    return out.getvalue()


def _file(name: str, content: bytes = b"data", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.mtime = 1_600_000_000
    return info, content


def _special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info, b""


def _zip(*members: tuple[str, bytes, int]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            packed.writestr(info, content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _unpack(content: bytes, folder: Path, archive_format: str = "tar.gz", limits: Limits = LIMITS) -> Path:
    """Unpack below `folder`/in, and check that nothing else in `folder` changed."""
    inside, outside = folder / "in", folder / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "precious").write_text("precious")
    source = folder / "archive"
    source.write_bytes(content)
    fd = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with source.open("rb") as file:
            unpack(file, archive_format, fd, limits)
    finally:
        os.close(fd)
        assert sorted(path.name for path in folder.iterdir()) == ["archive", "in", "outside"]
        assert [path.name for path in outside.iterdir()] == ["precious"]
        assert (outside / "precious").read_text() == "precious"
        for path in inside.rglob("*"):
            assert path.is_symlink() or path.is_dir() or stat.S_ISREG(path.lstat().st_mode)
            assert not path.lstat().st_mode & 0o7000
    return inside


def test_a_good_tar_arrives_as_it_was(tmp_path: Path) -> None:
    folder = tarfile.TarInfo("pkg/")
    folder.type = tarfile.DIRTYPE
    inside = _unpack(
        _tar(
            (folder, b""),
            _file("./pkg/a.py", b"a"),
            _file("run.sh", b"#!/bin/sh", 0o4755),
            _file("deep/er/\u00fcmlaut name.txt", b""),
            _special("pkg/up", tarfile.SYMTYPE, "../run.sh"),
            _special("same", tarfile.LNKTYPE, "run.sh"),
            _file("pkg/a.py", b"newer"),
        ),
        tmp_path,
    )
    assert (inside / "pkg/a.py").read_bytes() == b"newer"
    assert (inside / "deep/er/\u00fcmlaut name.txt").read_bytes() == b""
    assert (inside / "pkg/up").read_bytes() == (inside / "same").read_bytes() == b"#!/bin/sh"
    assert os.access(inside / "run.sh", os.X_OK)
    assert not (inside / "pkg/a.py").stat().st_mode & 0o111
    assert (inside / "run.sh").stat().st_mtime == 1_600_000_000


def test_a_good_zip_arrives_as_it_was(tmp_path: Path) -> None:
    content = _zip(
        ("a/", b"", 0o40755), ("a/b.txt", b"text", 0o100644), ("run", b"x", 0o100755), ("l", b"a/b.txt", 0o120777)
    )
    inside = _unpack(content, tmp_path, "zip")
    assert (inside / "l").read_bytes() == (inside / "a/b.txt").read_bytes() == b"text"
    assert os.access(inside / "run", os.X_OK)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "absolute path": lambda: _tar(_file("/tmp/evil")),
    "upward path": lambda: _tar(_file("../outside/evil")),
    "upward path inside": lambda: _tar(_file("a/../../outside/evil")),
    "backslashes": lambda: _tar(_file("..\\outside\\evil")),
    "link up": lambda: _tar(_special("l", tarfile.SYMTYPE, "../outside"), _file("l/evil")),
    "absolute link": lambda: _tar(_special("l", tarfile.SYMTYPE, "/etc/passwd")),
    "write through a link": lambda: _tar(_special("l", tarfile.SYMTYPE, "."), _file("l/evil")),
    "link chain": lambda: _tar(
        _file("a/b/c/x"),
        _special("a/b/c/s", tarfile.SYMTYPE, "../../.."),
        _special("a/b/c/t", tarfile.SYMTYPE, "s/../outside"),
    ),
    "link over a file, then write": lambda: _tar(
        _file("f"), _special("f", tarfile.SYMTYPE, "../outside/precious"), _file("f", b"owned")
    ),
    "hard link up": lambda: _tar(_special("h", tarfile.LNKTYPE, "../outside/precious"), _file("h", b"owned")),
    "hard link to a link": lambda: _tar(_special("l", tarfile.SYMTYPE, "x"), _special("h", tarfile.LNKTYPE, "l")),
    "hard link absolute": lambda: _tar(_special("h", tarfile.LNKTYPE, "/etc/passwd")),
    "hard link to nothing": lambda: _tar(_special("h", tarfile.LNKTYPE, "missing")),
    "character device": lambda: _tar(_special("d", tarfile.CHRTYPE)),
    "block device": lambda: _tar(_special("d", tarfile.BLKTYPE)),
    "fifo": lambda: _tar(_special("p", tarfile.FIFOTYPE)),
    "too many files": lambda: _tar(*(_file(f"f{i}", b"") for i in range(101))),
    "too many folders": lambda: _tar(_file("/".join("abcdefghij" * 4) + "/x"), _file("/".join("klmnopqrst" * 4) + "/x"),
                                     _file("/".join("uvwxyzabcd" * 4) + "/x")),
    "too deep": lambda: _tar(_file("d/" * 60 + "x")),
    "name too long": lambda: _tar(_file("n" * 300)),
    "too big": lambda: _tar(_file("big", os.urandom(33 << 20))),
    "bomb": lambda: _tar(_file("bomb", bytes(30 << 20))),
    "bomb in headers": lambda: gzip.compress(_pax_header_of(200 << 20)),
    "not gzip": lambda: b"this is no archive at all",
    "gzip of rubbish": lambda: gzip.compress(b"rubbish" * 1000),
    "cut off": lambda: _tar(_file("x", os.urandom(100_000)))[:50_000],
    "empty name": lambda: _tar(_file(".")),
    "file as folder": lambda: _tar(_file("a"), _file("a/b")),
    "folder as file": lambda: _tar(_file("a/b"), _file("a")),
}  # fmt: skip


def _pax_header_of(size: int) -> bytes:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type = tarfile.XHDTYPE
    info.size = size
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(size)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tar_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadArchive):
        _unpack(HOSTILE[kind](), tmp_path)


HOSTILE_ZIPS: dict[str, Callable[[], bytes]] = {
    "absolute path": lambda: _zip(("/tmp/evil", b"x", 0o100644)),
    "upward path": lambda: _zip(("../outside/evil", b"x", 0o100644)),
    "link up": lambda: _zip(("l", b"../outside", 0o120777)),
    "write through a link": lambda: _zip(("l", b".", 0o120777), ("l/evil", b"x", 0o100644)),
    "device": lambda: _zip(("d", b"", stat.S_IFCHR | 0o600)),
    "bomb": lambda: _zip(("bomb", bytes(30 << 20), 0o100644)),
    "too many files": lambda: _zip(*((f"f{i}", b"", 0o100644) for i in range(101))),
    "not a zip": lambda: b"PK\x03\x04 and rubbish",
}


@pytest.mark.parametrize("kind", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadArchive):
        _unpack(HOSTILE_ZIPS[kind](), tmp_path, "zip")


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadArchive):
        _unpack(_tar(_file("a")), tmp_path, "rar")


def test_content_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        check_content(file, hashlib.sha256(b"content").hexdigest())
        assert file.read() == b"content"
        file.seek(0)
        with pytest.raises(BadArchive):
            check_content(file, hashlib.sha256(b"other").hexdigest())


def _job(local: LocalCluster, content: bytes, script: str, *, sha256: str = "", archive_format: str = "tar.gz") -> str:
    path = (
        local.hidden / hashlib.sha256(content).hexdigest()
    )  # the store is hidden from jobs, and closed to other users
    path.write_bytes(content)
    path.chmod(0o600)
    code = CodeArchive(sha256 or path.name, str(path), archive_format, len(content))
    name = local.new_name()
    local.backend.submit(name, WorkloadSpec(command=("/bin/sh", "-c", script), code=code, resources=SMALL))
    return name


def test_code_is_the_working_directory_of_a_job(local: LocalCluster) -> None:
    name = _job(local, _tar(_file("pkg/a.txt", b"hello from the code\n")), "cat pkg/a.txt; touch new && ls")
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert local.log(name) == b"hello from the code\nnew\npkg\n"


def test_code_may_be_a_zip(local: LocalCluster) -> None:
    content = _zip(("caf\u00e9.txt", b"hello\n", 0o100644))
    name = _job(local, content, "cat *.txt", archive_format="zip")
    assert local.wait_final(name).phase is Phase.SUCCEEDED
    assert local.log(name) == b"hello\n"


@pytest.mark.parametrize(
    ("content", "sha256", "words"),
    [
        (_tar(_file("../evil")), "", "leads out of the code"),
        (b"rubbish", "", "not a readable tar.gz archive"),
        (_tar(_file("a")), "0" * 64, "does not have the expected SHA-256"),
    ],
    ids=["hostile", "rubbish", "damaged"],
)
def test_bad_code_never_starts(local: LocalCluster, content: bytes, sha256: str, words: str) -> None:
    name = _job(local, content, "echo ran", sha256=sha256)
    seen = local.wait_final(name)
    assert (seen.phase, seen.reason, seen.exit_code, seen.started_at) == (Phase.FAILED, "BadCode", None, None)
    assert words in seen.message
    assert local.log(name) == b""
