"""What admission costs: reservations per second, a queue of 50,000 workloads of 1,000 people, and why one of them waits.

On a PostgreSQL of its own with fsync on, in a process of its own: no worker beside it takes part.
"""

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.report import Result

_LIVE = (10, 10_000, 50_000)
_WAITING, _PEOPLE = 50_000, 1_000
_NEED = {"cpu": 100, "memory": 1024**2, "experiments": 1}
_BATCH = 32
_MOST = 10**15
_numbers = count(1)

# The tree: 20 organizations of 10 teams of 5 people, on one cluster.
_TREE = """
    INSERT INTO accounts_user (username, password, email, first_name, last_name, is_active, date_joined, platform_role, identity_source, external_id)
        SELECT 'person' || n, '!', '', '', '', true, now(), '', 'local', '' FROM generate_series(0, 999) AS n;
    INSERT INTO auth_group (name) SELECT 'org:o' || n FROM generate_series(0, 19) AS n;
    INSERT INTO auth_group (name) SELECT 'team:t' || n FROM generate_series(0, 199) AS n;
    INSERT INTO teams_organization (slug, name, group_id)
        SELECT 'o' || n, 'bench', id FROM generate_series(0, 19) AS n JOIN auth_group ON name = 'org:o' || n;
    INSERT INTO teams_team (slug, name, organization_id, group_id)
        SELECT 't' || n, 'bench', o.id, g.id FROM generate_series(0, 199) AS n
          JOIN auth_group g ON g.name = 'team:t' || n JOIN teams_organization o ON o.slug = 'o' || n / 10;
    INSERT INTO teams_membership (team_id, user_id, role, source)
        SELECT t.id, u.id, 'member', 'hand' FROM generate_series(0, 999) AS n
          JOIN accounts_user u ON u.username = 'person' || n JOIN teams_team t ON t.slug = 't' || n / 5;
    INSERT INTO quotas_quotanode (kind, key, name, parent_id, depth, path, weight)
        SELECT 'org', 'org:' || o.id, o.slug, p.id, 1, '{}', 1 FROM teams_organization o, quotas_quotanode p WHERE p.key = 'platform';
    UPDATE quotas_quotanode SET path = ARRAY[parent_id, id] WHERE depth = 1;
    INSERT INTO quotas_quotanode (kind, key, name, parent_id, depth, path, weight)
        SELECT 'team', 'team:' || t.id, t.slug, n.id, 2, '{}', 1 FROM teams_team t JOIN quotas_quotanode n ON n.key = 'org:' || t.organization_id;
    UPDATE quotas_quotanode n SET path = p.path || n.id FROM quotas_quotanode p WHERE n.depth = 2 AND p.id = n.parent_id;
    INSERT INTO quotas_quotanode (kind, key, name, parent_id, depth, path, weight)
        SELECT 'user', 'team:' || m.team_id || '/user:' || m.user_id, u.username, n.id, 3, '{}', 1
          FROM teams_membership m JOIN accounts_user u ON u.id = m.user_id JOIN quotas_quotanode n ON n.key = 'team:' || m.team_id;
    UPDATE quotas_quotanode n SET path = p.path || n.id FROM quotas_quotanode p WHERE n.depth = 3 AND p.id = n.parent_id;
    INSERT INTO quotas_quotalimit (node_id, resource, "limit", ceiling, borrow, used)
        SELECT n.id, r, 1000000000000000, 1000000000000000, 0, 0 FROM quotas_quotanode n, unnest(ARRAY['cpu', 'memory', 'gpu', 'experiments']) AS r
            ON CONFLICT (node_id, resource) DO UPDATE SET "limit" = excluded."limit", ceiling = excluded.ceiling;
"""
_QUEUE = """
    INSERT INTO compute_workload (id, user_id, team_id, label, subject, template, quota_node_id, amounts, cluster_id, priority_class, rank,
            priority, timeout_seconds, grace_seconds, retries, retries_left, desired_state, stop_cause, resumes, state, state_version, reason,
            message, attempt_no, lease_owner, lease_epoch, size, queued_at)
    SELECT gen_random_uuid(), m.user_id, m.team_id, 'bench', '', '{}', n.id,
           jsonb_build_object('cpu', 1000 * (1 + s %% 4), 'memory', 1073741824, 'experiments', 1), %(cluster)s, '', 0,
           s %% 3, CASE WHEN s %% 4 > 0 THEN 600 * (1 + s %% 50) END, 10, 0, 0, 'run', '', false, 'queued', 1, '', '', 0, '', 0, 100.0 * (1 + s %% 4) * CASE WHEN s %% 4 > 0 THEN 600 * (1 + s %% 50) ELSE 172800 END,
           now() - make_interval(secs => 1 + s * 37 %% 50000)
      FROM generate_series(1, %(count)s) AS s JOIN accounts_user u ON u.username = 'person' || s %% 1000
      JOIN teams_membership m ON m.user_id = u.id JOIN quotas_quotanode n ON n.key = 'team:' || m.team_id || '/user:' || m.user_id
"""
_FILL = """
    INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts, ends_by, counted_until)
    SELECT gen_random_uuid(), 'live ' || s, n.id, n.path || %(cluster)s::bigint, '{"cpu": 100, "memory": 1048576, "experiments": 1}',
           now() + s %% 1000 * interval '1 minute', now()
      FROM generate_series((SELECT count(*) FROM quotas_reservation WHERE released_at IS NULL) + 1, %(count)s) AS s
      JOIN quotas_quotanode n ON n.name = 'person' || s %% 1000
"""
# One bare transaction on the same server: what eight clients cannot be faster than, while one row is the root of them all.
_HOT = "UPDATE hot SET n = n + 1"
# The old form: one statement that locks, compares, inserts and adds (docs/adr/0005); no fair share, no time limit.
_SINGLE = """
    WITH asked AS (SELECT key AS resource, value::bigint AS need FROM jsonb_each_text(%(amounts)s::jsonb)),
    locked AS MATERIALIZED (
        SELECT l.id, l.used, l."limit", asked.need FROM quotas_quotalimit l JOIN asked ON asked.resource = l.resource
         WHERE l.node_id = ANY(%(nodes)s) ORDER BY l.node_id, l.resource FOR NO KEY UPDATE OF l),
    held AS (
        INSERT INTO quotas_reservation (id, key, node_id, node_ids, amounts)
        SELECT gen_random_uuid(), %(key)s, %(node)s, %(nodes)s, %(amounts)s::jsonb
         WHERE (SELECT count(*) FROM locked) >= 0 AND NOT EXISTS (SELECT FROM locked WHERE used + need > "limit")
            ON CONFLICT (key) DO NOTHING RETURNING id),
    added AS (UPDATE quotas_quotalimit l SET used = l.used + locked.need FROM locked, held WHERE l.id = locked.id)
    SELECT id FROM held
"""


@contextmanager
def _servers() -> Iterator[None]:
    """Start a PostgreSQL and a Valkey of our own, and let the settings find them."""
    from config.embedded.postgres import Postgres
    from config.embedded.valkey import Valkey

    home = Path(tempfile.mkdtemp(prefix="fathom-bench-"))
    for name in ("run", "log"):
        (home / name).mkdir(mode=0o700)
    postgres, valkey = Postgres(home), Valkey(home)
    postgres.prepare()
    valkey.prepare()
    running = [
        postgres.start(on_parent_death=signal.SIGQUIT),
        valkey.start(on_parent_death=signal.SIGKILL),
    ]
    try:
        postgres.wait(running[0])
        valkey.wait(running[1])
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "FATHOM_HOME": str(home),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
        }
        yield
    finally:
        for process in running:
            process.send_signal(signal.SIGQUIT)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _sql(statement: str, **given: Any) -> list[Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement, given or None)
        return cursor.fetchall() if cursor.description else []


def _per_second(work: Callable[[int], int], *, clients: int, seconds: float = 2.0) -> float:
    """Return what `clients` threads do per second; `work` says how many it did."""
    from django.db import connection

    done, end = [0] * clients, time.monotonic() + seconds

    def loop(client: int) -> None:
        while time.monotonic() < end:
            done[client] += work(client)
        connection.close()

    began = time.monotonic()
    threads = [threading.Thread(target=loop, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.monotonic() - began)


class _Bench:
    """The measurements, on a tree that has been seeded."""

    def __init__(self) -> None:
        from apps.compute.models import Cluster
        from apps.compute.services import cluster_node
        from apps.quotas.models import QuotaNode
        from apps.quotas.services import platform_node

        root = platform_node()
        self.cluster = Cluster.objects.create(name="bench", kind="fake")
        self.cluster_node = cluster_node(self.cluster)
        _sql(_TREE)
        _sql("CREATE TABLE hot (n bigint); INSERT INTO hot VALUES (0)")
        self.leaves = list(QuotaNode.objects.filter(kind="user", depth=3).order_by("pk"))
        self.short = [(leaf, (root.pk, leaf.path[2], leaf.pk)) for leaf in self.leaves]  # three levels
        _sql("ANALYZE")

    # -- reservations per second

    def warm(self) -> None:
        """Let this process know which limit rows there are, as one that has worked for a while."""
        from django.db import transaction

        from apps.quotas import services as quotas

        with transaction.atomic():
            quotas.lock((node for _, nodes in self.short for node in nodes), _NEED)
        self.single(0)
        self.batched(0)

    def floor(self, _client: int) -> int:
        _sql(_HOT)
        return 1

    def old(self, client: int) -> int:
        leaf, nodes = self.short[(client * 97 + next(_numbers)) % len(self.short)]
        facts = {"key": f"old {next(_numbers)}", "node": leaf.pk, "nodes": list(nodes), "amounts": json.dumps(_NEED)}
        _sql(_SINGLE, **facts)
        return 1

    def single(self, client: int) -> int:
        from django.db import transaction

        from apps.quotas import services as quotas

        with transaction.atomic():
            (answer,) = quotas.reserve_all([self._ask(client)])
        assert hasattr(answer, "pk"), answer
        return 1

    def batched(self, client: int) -> int:
        from django.db import transaction

        from apps.quotas import services as quotas

        with transaction.atomic():
            answers = quotas.reserve_all([self._ask(client) for _ in range(_BATCH)])
        assert all(hasattr(answer, "pk") for answer in answers)
        return _BATCH

    def _ask(self, client: int) -> Any:
        from apps.quotas import services as quotas

        number = next(_numbers)
        leaf, nodes = self.short[(client * 97 + number) % len(self.short)]
        return quotas.Ask(f"bench {number}", leaf.pk, nodes, _NEED, 600.0)

    def fill(self, live: int) -> None:
        """Let exactly `live` reservations be alive."""
        kept = "CASE WHEN key LIKE 'live %%' THEN substr(key, 6)::int <= %(count)s ELSE false END"
        _sql(f"DELETE FROM quotas_reservation WHERE NOT {kept}", count=live)
        _sql(_FILL, cluster=self.cluster_node.pk, count=live)
        _sql(
            "UPDATE quotas_quotalimit l SET used = coalesce((SELECT sum((r.amounts ->> l.resource)::bigint)"
            " FROM quotas_reservation r WHERE r.released_at IS NULL AND r.node_ids @> ARRAY[l.node_id]), 0)"
            f" WHERE node_id IN ({self.short[0][1][0]}, {self.cluster_node.pk})"
        )
        _sql("VACUUM ANALYZE quotas_reservation, quotas_quotalimit, quotas_shareuse, hot")

    def rates(self, rounds: int = 3) -> dict[str, float]:
        """Measure in turn, so that what else the machine does meets all alike."""
        kinds: dict[str, tuple[Callable[[int], int], int]] = {
            "floor 2": (self.floor, 2),
            "old 2": (self.old, 2),
            "single 2": (self.single, 2),
            "floor 8": (self.floor, 8),
            "old 8": (self.old, 8),
            "single 8": (self.single, 8),
            "batched 2": (self.batched, 2),
        }
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for name, (work, clients) in list(kinds.items()) * rounds:
            found[name].append(_per_second(work, clients=clients, seconds=1.5))
        return {name: statistics.median(values) for name, values in found.items()}

    def growth(self, rounds: int = 3) -> dict[int, dict[str, float]]:
        """Milliseconds of one admission, alone and in a batch, with so many alive."""
        found: dict[int, dict[str, float]] = {}
        for live in _LIVE:
            self.fill(live)
            found[live] = {
                "single": 1000
                / statistics.median(_per_second(self.single, clients=1, seconds=1) for _ in range(rounds)),
                "batched": 1000
                / statistics.median(_per_second(self.batched, clients=1, seconds=1) for _ in range(rounds)),
            }
        return found

    # -- the queue

    def enqueue(self) -> None:
        _sql(_QUEUE, cluster=self.cluster.pk, count=_WAITING)
        _sql("VACUUM ANALYZE")

    def limit(self, resource: str, amount: int) -> None:
        _sql(
            'UPDATE quotas_quotalimit SET "limit" = %(amount)s, ceiling = greatest(%(amount)s, used)'
            " WHERE resource = %(resource)s AND node_id = %(root)s",
            amount=amount,
            resource=resource,
            root=self.short[0][1][0],
        )

    def turns(self, least: int) -> tuple[float, int]:
        """Return the seconds until at least `least` were admitted, and how many were."""
        from apps.compute.reconcile.admit import admit

        begun: list[Any] = []
        began = time.perf_counter()
        while len(begun) < least:
            before = len(begun)
            admit("bench", lambda *one: begun.append(one))
            assert len(begun) > before
        return time.perf_counter() - began, len(begun)

    def idle_turn(self) -> float:
        from apps.compute.reconcile.admit import admit

        def refuse(*_: Any) -> None:
            raise AssertionError

        began = time.perf_counter()
        admit("bench", refuse)
        return time.perf_counter() - began

    def why(self, *, is_operator: bool) -> list[float]:
        """Milliseconds of one explanation, for work here and there in the queue."""
        from apps.access.principal import SYSTEM
        from apps.accounts.models import User
        from apps.compute import why
        from apps.compute.models import Workload

        taken = []
        for number in range(0, 1000, 41):
            user = User.objects.get(username=f"person{number}")
            workload = Workload.objects.filter(user=user, state="queued").order_by("queued_at")[number % 7]
            team = workload.team_id
            began = time.perf_counter()
            if is_operator:
                why.explain(workload, by=SYSTEM)
            else:
                rows = Workload.objects.filter(team_id=team, state="queued")
                why.explain(workload, by=user, seen=rows.values_list("pk", flat=True))
            taken.append((time.perf_counter() - began) * 1000)
        return taken


def _measure() -> dict[str, Any]:
    import django

    with _servers():
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        bench = _Bench()
        said = lambda text: sys.stderr.write(f"{text}\n")  # noqa: E731
        found: dict[str, Any] = {}
        if "queue" not in sys.argv:
            bench.warm()
            found["rates"] = bench.rates()
            said(found["rates"])
            found["growth"] = {str(live): facts for live, facts in bench.growth().items()}
            said(found["growth"])
        if "rates" in sys.argv:
            return found
        bench.fill(10)
        bench.enqueue()
        bench.turns(64)  # connections, caches
        found["first"] = [bench.turns(100) for _ in range(5)]
        said(found["first"])
        bench.fill(10_000)
        bench.limit("cpu", 0)
        found["telling"] = bench.idle_turn()
        said(found["telling"])
        found["idle"] = [bench.idle_turn() for _ in range(7)]
        said(found["idle"])
        for name, is_operator in (("operator", True), ("user", False)):
            bench.why(is_operator=is_operator)
            found[f"why {name}"] = bench.why(is_operator=is_operator)
            said([round(one, 1) for one in found[f"why {name}"]])
        from django.db import connection

        connection.close()
        return found


def cost() -> list[Result]:
    """Measure in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.admission", "--json"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return results(json.loads(done.stdout.splitlines()[-1]))


def results(found: dict[str, Any]) -> list[Result]:
    rates, growth = found["rates"], found["growth"]
    rows = []
    for clients in (2, 8):
        now, old, floor = (rates[f"{kind} {clients}"] for kind in ("single", "old", "floor"))
        note = f"one statement, without fair share and time limits: {old:,.0f}/s"
        name = f"admissions, one per transaction, 3 levels, 3 resources, {clients} clients"
        rows.append(Result(name, now, "/s", "≥ 200 /s", now >= 200, floor, "one UPDATE of one row", note))
    batched = rates["batched 2"]
    name = f"admissions, {_BATCH} per transaction, 2 clients"
    rows.append(Result(name, batched, "/s", "≥ 500 /s", batched >= 500, rates["floor 2"], "one UPDATE of one row"))
    for kind in ("single", "batched"):
        few, many = growth[str(_LIVE[0])][kind], growth[str(_LIVE[-1])][kind]
        note = ", ".join(f"{live:,}: {growth[str(live)][kind]:.2f} ms" for live in _LIVE)
        name = f"one admission ({kind}) with {_LIVE[-1]:,} alive"
        rows.append(
            Result(name, many, "ms", "≤ 1.2 times the floor", many <= 1.2 * few, few, f"with {_LIVE[0]} alive", note)
        )
    first = statistics.median(seconds for seconds, _ in found["first"])
    admitted = found["first"][0][1]
    note = (
        f"{admitted} admitted, {first / admitted * 1000:.1f} ms each: the walk, the reservation, the state, the attempt"
    )
    name = f"first 100 admitted of {_WAITING:,} that wait, of {_PEOPLE:,} people"
    rows.append(Result(name, first, "s", "≤ 1 s", first <= 1, note=note))
    idle = statistics.median(found["idle"]) * 1000
    rows.append(
        Result(
            "a turn of that queue when nothing fits",
            idle,
            "ms",
            "≤ 500 ms",
            idle <= 500,
            note=f"10,000 alive; {found['telling']:.1f} s when all of them are told anew",
        )
    )
    for name in ("operator", "user"):
        value = statistics.median(found[f"why {name}"])
        note = f"worst {max(found[f'why {name}']):.0f} ms"
        rows.append(Result(f"why one of them waits, told to {name}s", value, "ms", "≤ 50 ms", value <= 50, note=note))
    return rows


def main() -> None:
    """Measure this alone: `python -m benchmarks.admission`; with "queue", only the queue and why."""
    found = _measure()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps(found) + "\n")
    elif "rates" in found:
        for row in results(found):
            floor = f", floor {row.floor:.4g} ({row.ratio})" if row.floor else ""
            sys.stdout.write(f"{row.name}: {row.value:.4g} {row.unit}, {row.bar}{floor}; {row.note}\n")


if __name__ == "__main__":
    main()
