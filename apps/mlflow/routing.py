"""The table of MLflow's calls. A module of a subject fills it:

    @answers("POST", "runs/create", judged="run:create")
    def create(call: Call) -> dict[str, Any]: ...

and is named in `apps.mlflow.urls.SUBJECTS`. `judged` says which action of the policy the services ask about; it is what
the walk over all routes compares, and it judges nothing by itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.mlflow.calls import Call

Answer = Mapping[str, Any] | bytes
Translator = Callable[[Call], Answer]
API = "api/2.0/mlflow"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path; `path` is Django's, so its parts in angle brackets are fields of the call."""

    method: str
    path: str
    judged: str
    translator: Translator

    @property
    def name(self) -> str:
        """Return the name of the URL: "mlflow-runs-create"."""
        words = [part for part in self.path.split("/") if part not in {"api", "2.0", "3.0", "mlflow"}]
        return "-".join(["mlflow", *(word.partition(":")[2].rstrip(">") or word for word in words)])


ROUTES: list[Route] = []


def answers(method: str, path: str, *, judged: str, prefix: str = API) -> Callable[[Translator], Translator]:
    """Enter a translator into the table."""

    def enter(translator: Translator) -> Translator:
        ROUTES.append(Route(method, f"{prefix}/{path}", judged, translator))
        return translator

    return enter
