"""Packing code: what is left out, and that equal folders make equal archives."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

import fathom
from fathom import packing
from fathom.client import Client
from fathom.packing import included, pack
from tests.sdk.stub_platform import StubPlatform


def make(root: Path, *names: str, text: str = "x") -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_equal_folders_make_equal_archives(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    make(one, "b.py", "a/c.py", "a/d.txt")
    make(two, "a/d.txt", "a/c.py", "b.py")
    os.utime(two / "b.py", (1, 1))
    first, second = pack(one), pack(two)
    assert first.path.read_bytes() == second.path.read_bytes()
    assert first.ref == second.ref
    assert first.path.read_bytes()[4:8] == b"\0\0\0\0"  # gzip's own time stamp
    (two / "b.py").write_text("y")
    assert pack(two).ref != first.ref


def test_archive_names_nobody_and_keeps_the_executable_bit(tmp_path: Path) -> None:
    make(tmp_path, "run.sh", "data.txt")
    (tmp_path / "run.sh").chmod(0o700)
    with tarfile.open(pack(tmp_path).path) as archive:
        entries = {entry.name: entry for entry in archive}
    assert sorted(entries) == ["data.txt", "run.sh"]
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries.values()} == {(0, 0, "", 0)}
    assert (entries["run.sh"].mode, entries["data.txt"].mode) == (0o755, 0o644)


@pytest.mark.parametrize(
    ("rules", "left_out"),
    [
        ("*.log", {"a.log", "sub/b.log"}),
        ("/a.log", {"a.log"}),
        ("sub/", {"sub/b.log", "sub/keep.py", "sub/deep/c.txt"}),
        ("deep", {"sub/deep/c.txt"}),
        ("sub/*.log", {"sub/b.log"}),
        ("sub/**/c.txt", {"sub/deep/c.txt"}),
        ("**/c.txt", {"sub/deep/c.txt"}),
        ("*.log\n!a.log", {"sub/b.log"}),
        ("# *.py\n\n?.log", {"a.log", "sub/b.log"}),
        ("[ab].log", {"a.log", "sub/b.log"}),
        ("[!a].log", {"sub/b.log"}),
        ("\\#odd", {"#odd"}),
        ("[z-a].log", set()),
        ("sub/**", {"sub/b.log", "sub/keep.py", "sub/deep/c.txt"}),
    ],
)
def test_ignore_rules(tmp_path: Path, rules: str, left_out: set[str]) -> None:
    names = {"a.log", "main.py", "sub/b.log", "sub/keep.py", "sub/deep/c.txt", "#odd"}
    make(tmp_path, *names)
    (tmp_path / ".fathomignore").write_text(rules)
    assert names - set(included(tmp_path)) == left_out


def test_nested_ignore_file_rules_its_folder_only(tmp_path: Path) -> None:
    make(tmp_path, "a.csv", "sub/b.csv", "sub/c.py")
    (tmp_path / "sub" / ".gitignore").write_text("*.csv\n")
    assert set(included(tmp_path)) == {"a.csv", "sub/c.py", "sub/.gitignore"}


def test_fathomignore_overrides_gitignore(tmp_path: Path) -> None:
    make(tmp_path, "model.bin")
    (tmp_path / ".gitignore").write_text("*.bin\n")
    assert "model.bin" not in set(included(tmp_path))
    (tmp_path / ".fathomignore").write_text("!model.bin\n")
    assert "model.bin" in set(included(tmp_path))


def test_secrets_and_caches_stay_here(tmp_path: Path) -> None:
    make(tmp_path, "main.py", ".env", ".git/config", ".venv/bin/python", "__pycache__/m.pyc", "fathom-offline/r.jsonl")
    assert set(included(tmp_path)) == {"main.py"}


def test_links_stay_inside(tmp_path: Path) -> None:
    root = tmp_path / "code"
    make(root, "real.txt", text="inside")
    make(tmp_path, "secret.txt", text="outside")
    (root / "inner").symlink_to("real.txt")
    (root / "outer").symlink_to(tmp_path / "secret.txt")
    (root / "folder").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    with tarfile.open(pack(root).path) as archive:
        contents = {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]
    assert contents == {"real.txt": b"inside", "inner": b"inside"}


def test_too_large_names_the_largest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "MAX_BYTES", 10_000)
    (tmp_path / "big.bin").write_bytes(os.urandom(20_000))
    make(tmp_path, "small.txt")
    with pytest.raises(fathom.FathomError, match=r"\.fathomignore.*Largest: big\.bin"):
        pack(tmp_path)


def test_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(fathom.FathomError, match="does not exist"):
        pack(tmp_path / "nowhere")


def test_upload_happens_once(platform: StubPlatform, client: Client, tmp_path: Path) -> None:
    make(tmp_path / "code", "main.py")
    first = client.code.upload(tmp_path / "code")
    shutil.copytree(tmp_path / "code", tmp_path / "copy")
    second = client.code.upload(tmp_path / "copy")
    assert first.ref == second.ref
    assert len(platform.seen("PUT", "/code/")) == 1


def test_create_uploads_the_folder_of_the_spec(platform: StubPlatform, client: Client, tmp_path: Path) -> None:
    make(tmp_path / "code", "main.py")
    made = client.experiments.create({"command": "true", "code": {"upload": str(tmp_path / "code")}})
    (ref,) = platform.code
    assert made.spec["code"] == {"upload": ref}
