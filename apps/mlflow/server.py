"""What the server says of itself."""

from typing import Any

from apps.mlflow.calls import Call
from apps.mlflow.routing import answers


@answers("GET", "server-info", judged="", prefix="api/3.0/mlflow")
def server_info(_call: Call) -> dict[str, Any]:
    """Say that there are no workspaces here: teams are Fathom's."""
    return {"store_type": "SqlStore", "workspaces_enabled": False}
