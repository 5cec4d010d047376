"""Pictures and tables of a step as files, with names from which the platform's pages know the key and the step."""

import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".bmp"}
_LONGEST_KEY = 150
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\~#%]")


def name_of(folder: str, key: str, step: int, suffix: str) -> str:
    """Return the artifact path. Raises: ValueError for a key that no file can be named after."""
    if not key or len(key) > _LONGEST_KEY or _UNFIT.search(key):
        message = f"the key {key[:_LONGEST_KEY]!r} needs 1 to {_LONGEST_KEY} characters, without control characters and any of \\ ~ # %"
        raise ValueError(message)
    moment = time.time_ns() // 1_000_000
    return f"{folder}/{key.replace('/', '~')}+step+{step}+timestamp+{moment}+{uuid.uuid4()}{suffix}"


def write_image(image: Any, folder: Path) -> Path:
    """Return the file of a picture: a path as it is; bytes of a PNG, a Pillow image, a figure or an array are written.

    Raises: FileNotFoundError, TypeError for what is no picture.
    """
    if isinstance(image, (str, Path)):
        return _given(Path(image))
    file = folder / "image.png"
    if isinstance(image, (bytes, bytearray)):
        file.write_bytes(image)
    elif hasattr(image, "savefig"):
        image.savefig(file, format="png")
    elif hasattr(image, "save"):
        image.save(file, format="PNG")
    elif hasattr(image, "__array_interface__"):
        _from_array(image).save(file, format="PNG")
    else:
        message = (
            f"{type(image).__name__} is no picture: give a path, bytes of a PNG, a Pillow image, a figure or an array"
        )
        raise TypeError(message)
    return file


def write_table(rows: Any, folder: Path) -> Path:
    """Write a table: a pandas frame, columns by name, or rows as mappings. Raises: TypeError, ValueError."""
    file = folder / "table.json"
    if hasattr(rows, "to_json"):
        document: Any = json.loads(rows.to_json(orient="split", default_handler=str))
        document.pop("index", None)
    elif isinstance(rows, Mapping):
        columns = [list(column) for column in rows.values()]
        document = {"columns": list(rows), "data": [list(row) for row in zip(*columns, strict=True)]}
    elif isinstance(rows, Iterable) and not isinstance(rows, (str, bytes)):
        document = _from_rows(list(rows))
    else:
        message = f"{type(rows).__name__} is no table: give a pandas frame, columns by name, or rows as mappings"
        raise TypeError(message)
    file.write_text(json.dumps(document, default=str), encoding="utf-8")
    return file


def _from_rows(rows: list[Any]) -> dict[str, Any]:
    if not all(isinstance(row, Mapping) for row in rows):
        message = "the rows of a table are mappings from column to value"
        raise TypeError(message)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows]}


def _given(path: Path) -> Path:
    if not path.is_file():
        message = f"there is no file {path}"
        raise FileNotFoundError(message)
    if path.suffix.lower() not in _SUFFIXES:
        message = f"{path} is no picture: its name ends with none of {', '.join(sorted(_SUFFIXES))}"
        raise TypeError(message)
    return path


def _from_array(array: Any) -> Any:
    try:
        from PIL import Image  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 -- only who logs arrays needs it
    except ImportError:
        message = "an array becomes a picture by Pillow, which is not installed"
        raise TypeError(message) from None
    return cast("Any", Image).fromarray(array)
