"""New rows written in one statement are the rows that `save` would have written."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.compute.models import Workload, WorkloadEvent
from apps.core.ids import new_id
from apps.core.inserts import insert
from apps.tracking.models import Project, Run, Tag
from tests.factories import Stage, fresh
from tests.people import Cast

pytestmark = pytest.mark.django_db


def _columns(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_rows_that_refer_to_each_other_are_written_at_once_and_told_whole() -> None:
    owner = User.objects.create(username="ada")
    project = Project(owner=owner, name="digits")
    run = Run(project=project, owner=owner, name="first", started_at=Now())
    tag = Tag(run=run, project=project, key="a", value="%s \\ ' é")
    with CaptureQueriesContext(connection) as asked:
        insert(project, run, tag)
    assert len(asked) == 1
    for row in (project, run, tag):
        assert not row._state.adding
        assert _columns(row) == _columns(type(row).objects.get(pk=row.pk))
    assert timezone.now() - run.started_at < timedelta(minutes=1)
    assert project.number is not None
    run.name = "renamed"
    run.save()
    assert Run.objects.get().name == "renamed"


def test_what_the_database_refuses_is_raised_as_save_raises_it_and_nothing_is_written() -> None:
    owner = User.objects.create(username="ada")
    project = Project(owner=owner, name="digits")
    insert(project)
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(Run(project=project, owner=owner, name="x", started_at=Now()), Project(owner=owner, name="digits"))
    assert not Run.objects.exists()


def test_a_null_is_written_also_where_the_database_has_a_default_and_a_number_it_counts_is_told(
    cast: Cast, stage: Stage
) -> None:
    workload = fresh(stage.submit(cast.alice))
    assert workload.next_reconcile_at is not None
    workload.pk, workload.next_reconcile_at, workload.subject = new_id(), None, "another"
    event = WorkloadEvent(workload=workload, seq=0, to_state="queued", actor="alice")
    insert(workload, event)
    assert Workload.objects.get(pk=workload.pk).next_reconcile_at is None
    assert WorkloadEvent.objects.get(pk=event.pk).workload_id == workload.pk
