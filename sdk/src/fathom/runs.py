"""Runs as a table: `fathom.runs.search("metrics.loss < 0.1", projects=["digits"])`.

The filter and the order are MLflow's, which everybody knows: `metrics.loss < 0.1 AND params.lr = '0.01'`, `metrics.acc DESC`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from fathom.config import resolve
from fathom.errors import FathomError, NotFound
from fathom.transport import Transport

_WIRE = "/api/2.0/mlflow"
_PAGE = 1000


def search(
    filter: str = "",  # noqa: A002 -- the word of everybody else
    *,
    projects: Sequence[str] = ("default",),
    order_by: Sequence[str] = (),
    max_results: int = 10_000,
    url: str | None = None,
    token: str | None = None,
) -> Any:
    """Return the runs of some projects that I may see as a pandas DataFrame, at most `max_results`, newest first.

    A project is named, or given by its number. Columns: run_id, name, project, status, owner, started_at, finished_at, and one per
    `params.…`, `metrics.…` (the latest value) and `tags.…`. Raises: NotFound for a project, Invalid for a filter,
    FathomError without pandas.
    """
    try:
        import pandas as pd  # noqa: PLC0415 -- wanted here only, and slow
    except ImportError as error:
        message = "fathom.runs.search returns a pandas DataFrame: pip install pandas"
        raise FathomError(message) from error
    transport = Transport(resolve(url=url, token=token))
    numbers = {_number(transport, project): project for project in projects}
    rows = [_row(run, numbers) for run in _found(transport, filter, list(numbers), list(order_by), max_results)]
    return pd.DataFrame(rows, columns=None if rows else list(_FIXED))


_FIXED = ("run_id", "name", "project", "status", "owner", "started_at", "finished_at")


def _found(
    transport: Transport, text: str, experiments: list[str], order_by: list[str], limit: int
) -> Iterator[dict[str, Any]]:
    token, left = "", limit
    while left > 0:
        body = {
            "experiment_ids": experiments,
            "filter": text,
            "order_by": order_by,
            "max_results": min(_PAGE, left),
            "page_token": token,
        }
        page = transport.request("POST", f"{_WIRE}/runs/search", json_body=body).json()
        yield from page["runs"]
        left -= len(page["runs"])
        token = page.get("next_page_token", "")
        if not token:
            return


def _number(transport: Transport, project: str) -> str:
    if project == "default":
        return "0"
    try:
        query = {"experiment_name": project}
        found = transport.request("GET", f"{_WIRE}/experiments/get-by-name", query=query).json()
    except NotFound:
        if not project.isdigit():
            raise
        return project
    return str(found["experiment"]["experiment_id"])


def _row(run: dict[str, Any], numbers: dict[str, str]) -> dict[str, Any]:
    info, data = run["info"], run["data"]
    row: dict[str, Any] = {
        "run_id": info["run_id"],
        "name": info["run_name"],
        "project": numbers.get(info["experiment_id"], "default"),
        "status": info["status"].lower(),
        "owner": info["user_id"],
        "started_at": _time(info.get("start_time")),
        "finished_at": _time(info.get("end_time")),
    }
    row |= {f"params.{one['key']}": one["value"] for one in data.get("params", ())}
    row |= {f"metrics.{one['key']}": float(one["value"]) for one in data.get("metrics", ())}
    row |= {f"tags.{one['key']}": one["value"] for one in data.get("tags", ()) if not one["key"].startswith("mlflow.")}
    return row


def _time(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else datetime.fromtimestamp(milliseconds / 1000, UTC)
