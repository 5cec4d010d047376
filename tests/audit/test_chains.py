"""The hash chains: what they seal, and that a tampered, missing, moved or inserted row is named."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils.timezone import get_fixed_timezone

from apps.access.principal import SYSTEM
from apps.audit import sealing, verification
from apps.audit.models import AuditEvent, AuditSeal
from apps.compute.reconcile.loop import Reconciler
from apps.teams import services as teams
from apps.teams.models import Team
from tests.factories import in_threads
from tests.people import Cast

Settings = Any


@contextmanager
def unguarded(table: str) -> Iterator[Any]:
    """As somebody who may switch triggers off."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield cursor
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def found(**only: Any) -> list[tuple[str, int | None]]:
    report = verification.verify(**only)
    return [(problem.kind, problem.event) for problem in report.problems]


def admin(*arguments: str) -> tuple[int, str]:
    """Run `fathom-admin audit …`; return exit code and output."""
    out = StringIO()
    try:
        call_command("audit", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def sealed(cast: Cast) -> Cast:
    for name in ("Sight", "Vision"):
        Team.objects.filter(pk=cast.team.pk).update(name=name)
    while sealing.seal():
        pass
    return cast


def event_of(cast: Cast, number: int = 2) -> AuditEvent:
    return AuditEvent.objects.filter(organization_id=cast.organization.pk).order_by("pk")[number]


def test_every_event_has_one_seal_in_its_organizations_chain(sealed: Cast) -> None:
    seals = AuditSeal.objects.order_by("organization_id", "seq")
    chains: dict[Any, list[AuditSeal]] = {}
    for seal in seals:
        chains.setdefault(seal.organization_id, []).append(seal)
    assert set(chains) == {None, sealed.organization.pk}
    assert {seal.event_id for seal in seals} == set(AuditEvent.objects.values_list("pk", flat=True))
    for chain, links in chains.items():
        assert [link.seq for link in links] == list(range(1, len(links) + 1))
        assert [link.event_id for link in links] == sorted(link.event_id for link in links)
        assert {link.event.organization_id for link in links} == {chain}
    report = verification.verify()
    assert (report.problems, report.chains, report.events) == ([], 2, seals.count())


def test_every_column_is_sealed(db: None) -> None:
    assert set(sealing.COLUMNS) == {field.attname for field in AuditEvent._meta.concrete_fields}


def test_the_canonical_form_stays(db: None) -> None:
    """Changing it would break every chain that exists."""
    row = {
        "id": 7, "at": datetime(2026, 11, 26, 10, 0, 0, 5, tzinfo=get_fixed_timezone(60)),
        "organization_id": None, "actor_label": "zoë", "data_text": '{"a": 1}', "txid": 9,
    }  # fmt: skip
    assert sealing.canonical(row) == (
        b'{"actor_label":"zo\\u00eb","at":"2026-11-26T09:00:00.000005+00:00","data":"{\\"a\\": 1}","id":7,"txid":9}'
    )
    assert sealing.link(bytes(32), row).hex() == "1bb50b1aa024111d9e5a61a18d0601e7dd60b2f18c5943a0afca03de0a5dd6e2"


def test_every_worker_has_a_thread_that_seals(sealed: Cast) -> None:
    Team.objects.filter(pk=sealed.team.pk).update(name="Other")
    worker = Reconciler()
    assert "seal" in {thread.name for thread in worker._threads}
    worker._stop.set()  # so that it does not wait after its turn
    worker._seal()
    worker._end_starters(1.0)
    assert not sealing.unsealed().exists()


def test_the_loop_anchors_once_an_hour(sealed: Cast, tmp_path: Path, settings: Settings) -> None:
    settings.AUDIT_ANCHOR = str(tmp_path / "anchor")
    sealer = sealing.Sealer()
    for _ in range(3):
        sealer.turn()
    lines = [json.loads(line) for line in (tmp_path / "anchor").read_text().splitlines()]
    assert [(line["organization"], line["seq"]) for line in lines] == [(head[0], head[1]) for head in sealing.heads()]


def test_the_loop_seals_what_is_new(sealed: Cast) -> None:
    assert sealing.seal() == 0
    Team.objects.filter(pk=sealed.team.pk).update(name="Other")
    assert sealing.Sealer().turn() == sealing.POLL_SECONDS
    assert not sealing.unsealed().exists()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_auditevent SET reason = 'because' WHERE id = %s",
        "UPDATE audit_auditevent SET at = at + interval '1 microsecond' WHERE id = %s",
        "UPDATE audit_auditevent SET data = jsonb_set(data, '{planted}', '1') WHERE id = %s",
        "UPDATE audit_auditevent SET organization_id = NULL WHERE id = %s",
        "UPDATE audit_auditevent SET ip = '10.0.0.1' WHERE id = %s",
        "UPDATE audit_auditevent SET outcome = 'denied' WHERE id = %s",
        "UPDATE audit_auditevent SET txid = txid + 1 WHERE id = %s",
    ],
)
def test_a_changed_event_is_named(sealed: Cast, statement: str) -> None:
    event = event_of(sealed)
    with unguarded("audit_auditevent") as cursor:
        cursor.execute(statement, [event.pk])
    assert found() == [("event_changed", event.pk)]
    code, told = admin("verify")
    assert code == 1
    assert f"Event {event.pk} is not what was sealed." in told


def test_a_deleted_event_is_named(sealed: Cast) -> None:
    event = event_of(sealed)
    with unguarded("audit_auditevent") as cursor:
        cursor.execute("DELETE FROM audit_auditevent WHERE id = %s", [event.pk])
    assert found() == [("event_missing", event.pk)]


def test_an_event_deleted_with_its_seal_leaves_a_gap(sealed: Cast) -> None:
    event, after = event_of(sealed), event_of(sealed, 3)
    for table, key in (("audit_auditseal", "event_id"), ("audit_auditevent", "id")):
        with unguarded(table) as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {key} = %s", [event.pk])
    assert found() == [("seal_missing", after.pk)]


def test_swapped_seals_are_named(sealed: Cast) -> None:
    one, other = event_of(sealed, 2), event_of(sealed, 3)
    with unguarded("audit_auditseal") as cursor:
        cursor.execute("UPDATE audit_auditseal SET event_id = -1 WHERE event_id = %s", [one.pk])
        cursor.execute("UPDATE audit_auditseal SET event_id = %s WHERE event_id = %s", [one.pk, other.pk])
        cursor.execute("UPDATE audit_auditseal SET event_id = %s WHERE event_id = -1", [other.pk])
    assert sorted(found()) == sorted([("event_changed", one.pk), ("event_changed", other.pk)])


def test_a_seal_made_anew_for_a_changed_event_breaks_the_chain(sealed: Cast) -> None:
    event, after = event_of(sealed), event_of(sealed, 3)
    with unguarded("audit_auditevent") as cursor:
        cursor.execute("UPDATE audit_auditevent SET reason = 'because' WHERE id = %s", [event.pk])
    (row,) = sealing.rows(AuditEvent.objects.filter(pk=event.pk))
    digest = sealing.link(bytes(AuditSeal.objects.get(pk=event.pk).prev_hash), row)
    with unguarded("audit_auditseal") as cursor:
        cursor.execute("UPDATE audit_auditseal SET hash = %s WHERE event_id = %s", [digest, event.pk])
    assert found() == [("chain_broken", after.pk)]


def test_an_event_slipped_in_is_named(sealed: Cast) -> None:
    """Before it is sealed for want of a seal, after it for its time."""
    insert = """
        INSERT INTO audit_auditevent (at, actor_label, origin, request_id, action, object_type, object_id, object_label,
                                      reason, data)
        VALUES (now() - interval '1 day', 'alice', 'api', '', 'approve', 'x.y', '1', '', '', '{}') RETURNING id
    """
    with connection.cursor() as cursor:
        cursor.execute(insert)
        (planted,) = cursor.fetchone()
    assert found() == [("unsealed", planted)]
    assert sealing.seal() == 1
    assert found() == [("event_inserted", planted)]


def test_what_the_worker_does_not_seal_is_named(sealed: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    Team.objects.filter(pk=sealed.team.pk).update(name="Other")
    event = AuditEvent.objects.latest("pk")
    assert found() == []  # the loop has some minutes
    monkeypatch.setattr(verification, "UNSEALED_AFTER", timedelta(0))
    assert found() == [("unsealed", event.pk)]


def test_one_organization_can_be_verified_alone(sealed: Cast) -> None:
    platforms = AuditEvent.objects.filter(organization_id=None).first()
    assert platforms is not None
    with unguarded("audit_auditevent") as cursor:
        cursor.execute("UPDATE audit_auditevent SET reason = 'because' WHERE id = %s", [platforms.pk])
    assert found(organization=sealed.organization.pk) == []
    assert admin("verify", "--organization", "acme")[0] == 0
    code, told = admin("verify", "--json")
    report = json.loads(told)
    assert (code, report["ok"], [problem["event"] for problem in report["problems"]]) == (1, False, [platforms.pk])


def test_a_chain_made_wholly_anew_differs_from_its_anchor(sealed: Cast, tmp_path: Path, settings: Settings) -> None:
    settings.AUDIT_ANCHOR = str(tmp_path / "anchor")
    assert admin("anchor") == (0, "anchored 2 chains\n")
    assert (tmp_path / "anchor").stat().st_mode & 0o777 == 0o600
    assert found() == []
    event = event_of(sealed)
    with unguarded("audit_auditevent") as cursor:
        cursor.execute("UPDATE audit_auditevent SET reason = 'because' WHERE id = %s", [event.pk])
    with unguarded("audit_auditseal") as cursor:
        cursor.execute("DELETE FROM audit_auditseal WHERE organization_id = %s", [sealed.organization.pk])
    while sealing.seal():
        pass
    assert found() == [("anchor_differs", None)]
    settings.AUDIT_ANCHOR = ""
    assert found() == []  # the control: without the anchor it would go by unseen


def test_a_chain_cut_short_differs_from_its_anchor(sealed: Cast, tmp_path: Path, settings: Settings) -> None:
    settings.AUDIT_ANCHOR = str(tmp_path / "anchor")
    sealing.anchor(settings.AUDIT_ANCHOR)
    last = AuditSeal.objects.filter(organization_id=sealed.organization.pk).latest("seq").event_id
    for table, key in (("audit_auditseal", "event_id"), ("audit_auditevent", "id")):
        with unguarded(table) as cursor:
            cursor.execute(f"DELETE FROM {table} WHERE {key} = %s", [last])
    assert found() == [("anchor_differs", None)]


@pytest.mark.parametrize("statement", ["UPDATE {} SET seq = 9", "DELETE FROM {}", "TRUNCATE {}"])
def test_seals_are_as_append_only_as_events(sealed: Cast, statement: str) -> None:
    before = list(AuditSeal.objects.values("event_id", "seq"))
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format("audit_auditseal"))
    assert list(AuditSeal.objects.values("event_id", "seq")) == before


def test_sixteen_writers_and_two_sealers(committed: None) -> None:
    """Every committed change is one row event and one intent, every rolled back one is none, all of it is sealed once."""
    made = [teams.create_organization(slug=f"org-{number}", name="n", by=SYSTEM) for number in range(3)]
    groups = [teams.create_team(made[number % 3], slug=f"t-{number}", name="0", by=SYSTEM) for number in range(8)]
    before = AuditEvent.objects.filter(action="row.update").count()
    each = 15

    def work(index: int) -> int:
        if index >= 16:
            sealer = sealing.Sealer()
            return sum(sealer.turn() >= 0 for _ in range(60))
        return _write(groups, random.Random(index), each)

    results = in_threads(18, work)
    assert [result for result in results if isinstance(result, Exception)] == []
    changed = sum(results[:16])
    assert 0 < changed < 16 * each
    while sealing.seal():
        pass
    assert AuditEvent.objects.filter(action="row.update").count() - before == changed
    assert AuditSeal.objects.count() == AuditEvent.objects.count()
    report = verification.verify()
    assert (report.problems, report.chains, report.events) == ([], 4, AuditEvent.objects.count())


def _write(groups: list[Team], chance: random.Random, each: int) -> int:
    """Rename teams, and take back some; return how many changes were committed."""
    done = 0
    for _ in range(each):
        with transaction.atomic():
            Team.objects.filter(pk=chance.choice(groups).pk).update(name=str(chance.random()))
            if chance.random() < 0.3:
                transaction.set_rollback(True)
            else:
                done += 1
    return done


def test_without_its_lock_two_sealers_collide(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control run: what keeps the chains whole is the lock, and behind it the unique number of a seal."""
    teams.create_organization(slug="org", name="n", by=SYSTEM)
    meeting = threading.Barrier(2)

    @contextmanager
    def open_to_all(_name: str) -> Iterator[bool]:
        with transaction.atomic():
            yield True

    def meet(found: Any) -> Any:
        links = list(_links(found))
        meeting.wait(10)
        return links

    _links = sealing._links
    monkeypatch.setattr(sealing, "advisory", open_to_all)
    monkeypatch.setattr(sealing, "_links", meet)
    results = in_threads(2, lambda _index: sealing.seal())
    assert sorted(type(result) for result in results if isinstance(result, Exception)) == [IntegrityError]
    assert found() == []
