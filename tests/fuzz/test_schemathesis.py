"""Thousands of generated requests over the whole OpenAPI document, at a real platform: no input may cause a 5xx."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import REPOSITORY, Platform

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]  # its cases are counted; a busy machine is no reason

EXAMPLES = "300" if os.environ.get("FATHOM_LONG_TESTS") else "60"
LEAST = 2000
_PARKED = """
from apps.access.principal import SYSTEM
from apps.compute import services
from apps.compute.models import Cluster
for cluster in Cluster.objects.all():
    services.drain_cluster(cluster, by=SYSTEM, reason="the requests are the test, not the jobs")
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    made = Platform(tmp_path / "home")
    made.start()
    yield made
    made.stop()


def test_no_generated_request_breaks_the_platform(platform: Platform, tmp_path: Path) -> None:
    token = platform.make_user("alice")
    platform.manage(_PARKED)
    options = ["--checks", "not_a_server_error", "--phases", "coverage,fuzzing", "--max-examples", EXAMPLES]
    # One worker: CPython 3.11's ast.parse, which hypothesis calls, fails at random in threads (SystemError, recursion depth mismatch).
    options += ["--workers", "1", "--seed", "1", "--suppress-health-check", "all", "--warnings", "off"]
    options += ["--continue-on-failure"]
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", "docs/api/openapi.yml", "--url", platform.url]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Bearer {token}", *options],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "NO_COLOR": "1",
            "COLUMNS": "160",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    found = re.search(r"([\d,]+) generated", done.stdout)
    assert found is not None, done.stdout[-2000:]
    assert int(found[1].replace(",", "")) >= LEAST
    assert "Traceback" not in platform.output
    other = platform.make_user("bob")  # alice's token may have been revoked: that is a request like any other
    assert platform.api(other, "GET", "/me/")["username"] == "bob"
