"""What waits, in the order of the queue: of it what the reader may see."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.compute import order as lines
from apps.compute.choices import State
from apps.experiments.models import Experiment
from apps.experiments.querysets import ExperimentQuerySet

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Place:
    """One line of the queue."""

    position: int
    experiment: Experiment
    is_mine: bool


def queued(user: Any) -> ExperimentQuerySet[Any]:
    """Return the experiments that wait and that the person may see."""
    rows: ExperimentQuerySet[Any] = Experiment.objects.visible_to(user, "view").live()
    return rows.filter(workload__state=State.QUEUED)


def order(user: Any) -> list[UUID]:
    """Return the ids of the workloads of what the person may see, in the order of the queue."""
    seen = list(queued(user).order_by().values_list("workload", flat=True))
    return [pk for pk, _ in lines.in_order(seen)]


def places(user: Any, *, only_mine: bool = False) -> tuple[list[Place], int]:
    """Return the first lines of the queue, and how many there are in all."""
    places = {pk: place for place, pk in enumerate(order(user), 1)}
    rows = queued(user).with_details().filter(workload_id__in=list(places))
    if only_mine:
        rows = rows.filter(run__owner_id=user.pk)
    ids = sorted(rows.order_by().values_list("workload_id", flat=True), key=places.__getitem__)
    shown = {row.workload_id: row for row in rows.filter(workload_id__in=ids[:MOST_SHOWN])}
    found = [Place(places[pk], shown[pk], shown[pk].run.owner_id == user.pk) for pk in ids[:MOST_SHOWN] if pk in shown]
    return found, len(ids)
