"""Clusters, workloads and loops for operators."""

from apps.compute.admin.clusters import ClusterAdmin
from apps.compute.admin.priorities import PriorityClassAdmin
from apps.compute.admin.records import AttemptAdmin, LoopAdmin, WorkloadEventAdmin
from apps.compute.admin.workloads import WorkloadAdmin

__all__ = ["AttemptAdmin", "ClusterAdmin", "LoopAdmin", "PriorityClassAdmin", "WorkloadAdmin", "WorkloadEventAdmin"]
