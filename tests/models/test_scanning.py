"""Pickles are read and never loaded; what is known of a blob is kept."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from apps.models import scanning, services
from apps.models.files import Kept
from apps.models.models import FileScan, RegisteredModel
from tests.models.conftest import upload
from tests.people import Cast


class Trap:
    """Loaded, it would make a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (exec, (f"open({str(self.target)!r}, 'w')",))


class Named:
    def __reduce__(self) -> Any:
        return (zipfile.ZipInfo, ("a",))


def kept(name: str, data: bytes) -> Kept:
    return services.store_files([(name, iter([data]))])[0]


def torch_like(inner: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", inner)
    return made.getvalue()


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("suffix", ["pkl", "joblib", "bin", "pt"])
def test_what_a_trap_would_import(tmp_path: Path, suffix: str) -> None:
    trap = tmp_path / "sprung"
    data = pickle.dumps(Trap(trap))
    found = scanning.scan([kept(f"m.{suffix}", torch_like(data) if suffix == "pt" else data)])
    assert found["verdict"] == "dangerous"
    assert {"name": "builtins.exec", "safety": "dangerous"} in found["files"][f"m.{suffix}"]["imports"]
    assert not trap.exists()


@pytest.mark.usefixtures("db")
def test_verdicts() -> None:
    for data, verdict in (
        (pickle.dumps({"a": [1.0, 2.0]}), "clean"),
        (pickle.dumps(Named()), "unknown"),
        (b"\x80\x04nonsense", "unread"),
        (b"", "unread"),
    ):
        assert scanning.scan([kept("m.pkl", data)])["verdict"] == verdict, data
    assert scanning.scan([kept("m.safetensors", b"x")]) == {"verdict": "none", "files": {}, "safetensors": 1}


@pytest.mark.usefixtures("db")
def test_the_worst_counts_and_a_large_one_is_said_to_be_unread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = [kept("a.pkl", pickle.dumps(1)), kept("b.pkl", pickle.dumps(Trap(tmp_path / "x")))]
    assert scanning.scan(files)["verdict"] == "dangerous"
    monkeypatch.setattr(scanning, "LARGEST", 10)
    assert scanning.scan([kept("c.pkl", pickle.dumps("x" * 100))])["verdict"] == "too_large"


@pytest.mark.usefixtures("db")
def test_a_pickle_of_very_many_operations_is_not_kept_in_memory() -> None:
    data = b"\x80\x04" + b"N0" * 400_000 + b"N."
    assert scanning.scan([kept("m.pkl", data)])["verdict"] == "too_large"


@pytest.mark.usefixtures("db")
def test_a_blob_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    file = kept("m.pkl", pickle.dumps({"a": 1}))
    first = scanning.scan([file])
    monkeypatch.setattr(scanning, "_look", lambda _file: pytest.fail("looked at again"))
    assert scanning.scan([file]) == first
    assert FileScan.objects.get().sha256 == file.sha256


def test_it_is_advice_and_no_gate(cast: Cast, model: RegisteredModel, tmp_path: Path) -> None:
    made = upload(model, cast.alice, model__pkl=pickle.dumps(Trap(tmp_path / "x")))
    assert (made.number, made.scan["verdict"]) == (1, "dangerous")
