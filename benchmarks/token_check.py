"""What it costs to find out who asks: whose a token is, whose a session is, and a bare SELECT by the same index.

Everything is timed in one process in turn; what it makes in the database it takes back.

    .venv/bin/python -m benchmarks.token_check        (beside a platform that runs)
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from benchmarks.report import Result
from tests.platform import Platform

TOKENS, CHECKS, ROUNDS = 10_000, 500, 5
_SELECT = "SELECT id FROM accounts_apitoken WHERE digest = %s"
_FLOOR = "bare SELECT by index"


def checks(platform: Platform) -> list[Result]:
    """Measure beside the platform, on its database."""
    printed = platform.manage(
        "import json\nfrom benchmarks import token_check\nprint(json.dumps(token_check.medians()))"
    )
    return _results(json.loads(printed.splitlines()[-1]))


def medians() -> dict[str, float]:
    """Return milliseconds for each of what is compared."""
    from django.db import connection, transaction

    from apps.accounts import acting, services, tokens

    with transaction.atomic():
        values, user, session = _make()
        digests = [tokens.digest(value) for value in values]

        def asked(number: int) -> None:
            services.authenticate_token(values[number], afresh=True)

        def remembered(number: int) -> None:
            services.authenticate_token(values[number % 16])

        def in_session(_: int) -> None:
            assert acting.person(user, session=session) is not None

        def bare(number: int) -> None:
            with connection.cursor() as cursor:
                cursor.execute(_SELECT, [digests[number]])
                cursor.fetchone()

        works = {"asked": asked, "remembered": remembered, "session": in_session, "bare": bare}
        rounds = [{name: _median(work) for name, work in works.items()} for _ in range(ROUNDS + 1)][1:]
        transaction.set_rollback(True)
    return {name: statistics.median(one[name] for one in rounds) * 1000 for name in works}


def _make() -> tuple[list[str], int, Any]:
    from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
    from django.utils import timezone

    from apps.access.principal import SYSTEM
    from apps.accounts import services, tokens
    from apps.accounts.models import ApiToken, UserSession
    from apps.accounts.sessions import SessionStore

    user = services.create_user(f"bench-{os.getpid()}", by=SYSTEM)
    values = [tokens.random_token("pat") for _ in range(TOKENS)]
    later = timezone.now() + timedelta(days=1)  # the last use is written once a minute: not in here
    facts = {"user": user, "name": "bench", "scopes": ["all"], "last_used_at": later}
    rows = (ApiToken(digest=tokens.digest(value), prefix=value[:12], **facts) for value in values)
    ApiToken.objects.bulk_create(rows, batch_size=1000)
    store = SessionStore()
    store[SESSION_KEY], store[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    store.save()
    UserSession.objects.update(last_seen_at=later, expires_at=later)
    assert store.row is not None
    return values, user.pk, store.row.pk


def _median(work: Callable[[int], Any]) -> float:
    times = []
    for number in range(CHECKS):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _results(found: dict[str, float]) -> list[Result]:
    names = {
        "asked": "token check that asks the database, p50",
        "remembered": "token check that is remembered, p50",
        "session": "session check, p50",
    }
    note = f"among {TOKENS:,} tokens"
    return [
        Result(name, found[key], "ms", "≤ 1 ms", found[key] <= 1, found["bare"], _FLOOR, note)
        for key, name in names.items()
    ]


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    import django

    django.setup()
    for result in _results(medians()):
        sys.stdout.write(f"{result.name}: {result.value:.3f} ms, {result.ratio} times a {result.floor_name}\n")


if __name__ == "__main__":
    main()
