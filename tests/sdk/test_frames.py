"""Pictures and tables by step: the names the SDK gives are those the platform reads, and wrong arguments raise."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from apps.tracking.frames import _NAME, _table
from fathom import frames
from tests.sdk.stub_platform import StubPlatform
from tests.sdk.test_tracking import job_environment, run

DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Drawn:
    """What a Pillow image is to us."""

    def save(self, file: Path, format: str) -> None:  # noqa: A002 -- Pillow's name
        assert format == "PNG"
        file.write_bytes(DOT)


class Figure:
    """What a figure of matplotlib is to us."""

    def savefig(self, file: Path, format: str) -> None:  # noqa: A002 -- matplotlib's name
        assert format == "png"
        file.write_bytes(DOT)


@pytest.mark.parametrize("key", ["loss", "val/samples of 3", "a+b", "ä x", "k" * 150])
@pytest.mark.parametrize("step", [0, 7, -3, 10**12])
def test_a_name_says_key_and_step(key: str, step: int) -> None:
    found = _NAME.fullmatch(frames.name_of("images", key, step, ".png"))
    assert found is not None
    assert (found["key"].replace("~", "/"), int(found["step"]), found["small"]) == (key, step, None)


@pytest.mark.parametrize("key", ["", "a~b", "a#b", "a%b", "a\\b", "a\x00", "a\nb", "k" * 151])
def test_a_key_that_no_file_can_be_named_after(key: str) -> None:
    with pytest.raises(ValueError, match="the key"):
        frames.name_of("images", key, 1, ".png")


@pytest.mark.parametrize("image", [DOT, bytearray(DOT), Drawn(), Figure()])
def test_pictures_become_files(image: Any, tmp_path: Path) -> None:
    assert frames.write_image(image, tmp_path).read_bytes() == DOT


def test_a_picture_that_is_a_file_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.JPG"
    file.write_bytes(b"x")
    assert frames.write_image(str(file), tmp_path) == file
    for wrong, error in (
        (tmp_path / "none.png", FileNotFoundError),
        (Path(__file__), TypeError),
        (7, TypeError),
        (None, TypeError),
    ):
        with pytest.raises(error):
            frames.write_image(wrong, tmp_path)


class Frame:
    """What a pandas frame is to us."""

    def to_json(self, *, orient: str, default_handler: Any) -> str:
        assert (orient, default_handler) == ("split", str)
        return '{"columns": ["a", "b"], "index": [0], "data": [[1, null]]}'


@pytest.mark.parametrize(
    ("rows", "cells"),
    [
        (Frame(), [["1", ""]]),
        ({"a": [1, 2], "b": ["x", None]}, [["1", "x"], ["2", ""]]),
        ([{"a": 1}, {"b": Path("p")}], [["1", ""], ["", "p"]]),
        ([], []),
    ],
)
def test_tables_become_what_the_platform_shows(rows: Any, cells: list[list[str]], tmp_path: Path) -> None:
    table = _table(json.loads(frames.write_table(rows, tmp_path).read_text()))
    assert [[cell.text for cell in row] for row in table.rows] == cells
    assert table.problem == ""


@pytest.mark.parametrize("rows", [7, "text", None, [1, 2], {"a": [1], "b": [1, 2]}])
def test_what_is_no_table_raises(rows: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError)):
        frames.write_table(rows, tmp_path)


def test_a_job_logs_both(platform: StubPlatform) -> None:
    made = platform.add_run()
    Path("dot.png").write_bytes(DOT)
    code = "import fathom\nfathom.log_image('samples', 'dot.png', step=2)\nfathom.log_table('errors', [{'word': 'a'}], step=3)"
    result = run(code, job_environment(platform.url, made["id"]))
    assert (result.returncode, result.stderr) == (0, "")
    names = sorted(name.partition("+timestamp")[0] for _, name in platform.artifacts)
    assert names == ["images/samples+step+2", "tables/errors+step+3"]
