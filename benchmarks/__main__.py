"""`make bench`: start a platform, measure everything, write RESULTS.md. Takes a few minutes; bounded in count."""

import sys
import tempfile
from pathlib import Path

from benchmarks import admin, admission, artifacts, audit, jobs, logs, policy, registry, runtable, token_check, tracking
from benchmarks.report import Result, write
from tests.platform import Platform, proportional_memory

_PREPARE = """
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.compute import services as compute
from apps.compute.models import Cluster
from apps.experiments.services import quota_node
from apps.quotas import services as quotas
node = quota_node(User.objects.get(username="bench"), None)
for resource in ("cpu", "memory", "experiments"):
    quotas.set_limit(node, resource, None, by=SYSTEM, reason="benchmark")
parked = compute.save_cluster(Cluster(name="parked", kind="fake"), by=SYSTEM)
compute.drain_cluster(parked, by=SYSTEM, reason="benchmark")
"""


def main() -> int:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="fathom-bench-") as folder:
        platform = Platform(Path(folder) / "home")
        platform.start()
        try:
            token = platform.make_user("bench")
            platform.manage(_PREPARE)
            idle = proportional_memory(list(platform.processes())) / 1e6
            bar = "≤ 600 MB, all processes"
            results.append(Result("memory of the idle platform (PSS)", idle, "MB", bar, idle <= 600))
            results.append(jobs.first_line(platform, token))
            results.append(jobs.second_use(platform, token))
            results.append(jobs.throughput(platform, token))
            results += logs.latency(platform, token)
            results.append(logs.flood(platform, token))
            results.append(tracking.ingestion(platform, token))
            results += artifacts.transfers(platform, token)
            results += registry.creation(platform, token)
            results.append(jobs.submissions(platform, token))
            results += audit.cost(platform)
            results += token_check.checks(platform)
            results += tracking.large_data(platform)
            results += policy.cost(platform)  # before there are runs of a thousand keys, which fill a page of any list
            results += runtable.paints(platform)
            results += admin.lists(platform)
        finally:
            platform.stop()
    results += admission.cost()  # on a server of its own
    sys.stdout.write(write(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
