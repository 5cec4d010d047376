"""Twenty equal requests at once make one object."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.access.models import IdempotencyRecord
from apps.access.principal import SYSTEM
from apps.accounts import services as accounts
from apps.audit.models import AuditEvent
from apps.experiments.models import Experiment
from tests.factories import Stage, in_threads
from tests.people import Cast

pytestmark = pytest.mark.usefixtures("committed")


def test_twenty_equal_submissions_make_one_experiment(committed: None, cast: Cast, stage: Stage) -> None:
    token = accounts.issue_token(cast.alice, by=SYSTEM, name="t")[1]

    def work(_index: int) -> Any:
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}", HTTP_IDEMPOTENCY_KEY="one")
        return client.post("/api/v2/experiments/", {"command": "true", "cluster": {"name": "fake"}}, format="json")

    answers = in_threads(20, work)
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in made) == 1
    assert len(made) > 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_flight"}
    assert Experiment.objects.count() == 1
    assert IdempotencyRecord.objects.count() == 1
    assert AuditEvent.objects.filter(action="submit").count() == 1
