import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from typing_extensions import override

from apps.quotas import services
from apps.quotas.models import QuotaLimit, Reservation


class Command(BaseCommand):
    """Verify the books of the quotas."""

    help = (
        "Recompute what is used from the live reservations and name each limit that differs (exit code 1 if any does)."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        verify = commands.add_parser("verify", help="Recompute and compare. Changes nothing.")
        verify.add_argument("--json", action="store_true", dest="as_json")

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        wrong = services.drift()
        counted = {"limits": QuotaLimit.objects.count(), "live": Reservation.objects.filter(released_at=None).count()}
        if options["as_json"]:
            self.stdout.write(json.dumps({**counted, "wrong": wrong}, indent=2))
        else:
            for line in wrong:
                self.stdout.write(line)
            verdict = f"{len(wrong)} differ" if wrong else "all as the reservations say"
            self.stdout.write(f"{counted['limits']} limits, {counted['live']} live reservations: {verdict}")
        if wrong:
            sys.exit(1)
