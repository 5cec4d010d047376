"""What the audit trail costs whoever is audited, and how fast it is sealed and verified."""

import json

from benchmarks.report import Result
from tests.platform import Platform

# In one process, on one connection: submissions and changes of members with the whole trail and without it, in turns, so
# that both meet the same machine.
_MEASURE = """
import json, statistics, time
from contextlib import contextmanager
from unittest.mock import patch
from django.db import connection
from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.audit import sealing, verification
from apps.audit.models import AuditEvent, AuditSeal
from apps.experiments import services as experiments
from apps.teams import services as teams
from apps.audit import services as audit

user = User.objects.get(username="bench")
organization = teams.create_organization(slug="audited", name="Audited", by=SYSTEM)
team = teams.create_team(organization, slug="audited", name="Audited", by=SYSTEM)
teams.set_member(team, user, role="member", by=SYSTEM)
spec = {"command": "true", "team": "audited", "cluster": {"name": "parked"}, "resources": {"cpu": "1m", "memory": "1Mi"}}

@contextmanager
def without_rows():
    with patch.object(audit, "record"):
        yield

def switch(word):
    with connection.cursor() as cursor:
        for name in ("teams_membership", "accounts_user_groups"):
            cursor.execute(f"ALTER TABLE {name} {word} TRIGGER USER")

@contextmanager
def without_rows_and_triggers():
    switch("DISABLE")
    with patch.object(audit, "record"):
        yield
    switch("ENABLE")

def submit(_n):
    experiments.submit_experiment(spec, by=user)

def change(n):
    teams.set_member(team, user, role=("member", "viewer", "maintainer")[n % 3], by=SYSTEM)

def timed(work, n):
    began = time.perf_counter()
    work(n)
    return (time.perf_counter() - began) * 1000

def compared(work, without):
    took = [], []
    for n in range(400):
        if n % 2:
            took[0].append(timed(work, n))
        else:
            with without():
                took[1].append(timed(work, n))
    return [statistics.median(part[20:]) for part in took]

# No trigger of the trail fires at a submission; others do, so they stay.
found = {"submit": compared(submit, without_rows), "change": compared(change, without_rows_and_triggers)}
while sealing.seal():
    pass
AuditEvent.objects.bulk_create([
    AuditEvent(actor=user, actor_label="bench", origin="api", request_id=f"0199aaaa-0000-7000-8000-{n:012x}", action="submit",
               organization_id=organization.pk, object_type="experiments.experiment", object_id=f"0199aaaa-0000-7000-8000-{n:012x}",
               object_label="an experiment", data={}, token_id="0199aaaa-0000-7000-8000-000000000001", ip="192.0.2.1")
    for n in range(20000)], batch_size=2000)
began = time.perf_counter()
while sealing.seal():
    pass
found["seal"] = 20000 / (time.perf_counter() - began)
began = time.perf_counter()
report = verification.verify()
found["verify"] = report.events / (time.perf_counter() - began)
found["clean"] = report.is_clean
with connection.cursor() as cursor:
    cursor.execute("SELECT (pg_total_relation_size('audit_auditevent') + pg_total_relation_size('audit_auditseal'))::float / count(*) FROM audit_auditevent")
    found["bytes"] = cursor.fetchone()[0]
print(json.dumps(found))
"""


def cost(platform: Platform) -> list[Result]:
    """Return the cost of the trail for a submission and for an audited change, and the speed of sealing and verifying."""
    found = json.loads(platform.manage(_MEASURE).splitlines()[-1])
    results = []
    for name, words, most in (
        ("submit", "a submission, in the service", 1.1),
        ("change", "a change of a member", 1.5),
    ):
        with_trail, without = found[name]
        met = with_trail / without <= most
        results.append(
            Result(f"audit: {words}", with_trail, "ms", f"≤ {most} times", met, without, "without the trail")
        )
    met = found["clean"] and found["verify"] >= 5000
    return [
        *results,
        Result("audit: events sealed", found["seal"], "/s", "≥ 1,000 /s", found["seal"] >= 1000),
        Result("audit: events verified", found["verify"], "/s", "≥ 5,000 /s", met),
        Result(
            "audit: size of an event with seal and indexes", found["bytes"], "B", "≤ 1,200 B", found["bytes"] <= 1200
        ),
    ]
