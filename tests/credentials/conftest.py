from collections.abc import Callable
from typing import Any

import pytest

from apps.credentials import services
from apps.credentials.models import Credential
from tests.factories import cast, committed, stage
from tests.people import Cast

__all__ = ["cast", "committed", "stage", "token"]

CANARY = "canary-9f27ab64"


@pytest.fixture
def token(cast: Cast) -> Callable[..., Credential]:
    """Make a git token of alice's team, or of whoever is named."""

    def make(name: str = "my-git", **given: Any) -> Credential:
        given = {"by": cast.alice, "team": cast.team, **given}
        fields = {"host": "git.example.org", "username": "robot", "token": CANARY}
        return services.create_credential(name, "git_https", fields, **given)

    return make
