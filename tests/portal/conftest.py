from collections.abc import Callable, Iterator

import pytest
from django.test import Client

from apps.compute.models import Cluster
from apps.core.middleware import RequestContext, current_request
from tests.people import Cast, browser_of, fake_cluster, make_cast


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def cluster(db: None) -> Cluster:
    return fake_cluster()


@pytest.fixture
def as_person(cast: Cast) -> Iterator[Callable[[str], Client]]:
    """Return a browser in which that person is logged in."""

    def log_in(name: str) -> Client:
        return browser_of(cast.people[name])

    token = current_request.set(RequestContext())
    yield log_in
    current_request.reset(token)
