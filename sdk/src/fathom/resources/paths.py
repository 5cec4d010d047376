"""Building request paths."""

from urllib.parse import quote

API = "/api/v2"


def path(*parts: str) -> str:
    """`path("runs", id)` is `/api/v2/runs/<id>/`; each part is one escaped segment."""
    return f"{API}/{'/'.join(quote(part, safe=':@') for part in parts)}/"


def artifact_path(run_id: str, name: str) -> str:
    """The address of an artifact: the slashes in its name are folders."""
    return f"{path('runs', run_id, 'artifacts')}{quote(name.strip('/'), safe='/')}"
