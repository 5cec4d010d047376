from apps.compute.models.cluster import Cluster
from apps.compute.models.log import LogChunk
from apps.compute.models.loop import Loop
from apps.compute.models.priority import PriorityClass
from apps.compute.models.workload import Attempt, Workload, WorkloadEvent

__all__ = ["Attempt", "Cluster", "LogChunk", "Loop", "PriorityClass", "Workload", "WorkloadEvent"]
