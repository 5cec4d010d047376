"""`fathom-admin artifacts`: what a collection would do, the collection, and whether the store can be used."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from apps.access.principal import SYSTEM
from apps.core import blobs
from apps.core.errors import DomainError
from apps.storage import services
from apps.storage.services import Heap, Preview


class Command(BaseCommand):
    help = "Collect what nobody refers to any more from the store of artifacts, or look at it."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="action", required=True)
        collect = does.add_parser(
            "gc", help="let files expire by their rules, mark blobs that nobody refers to, sweep those marked"
        )
        collect.add_argument("--dry-run", action="store_true", help="say what would go; change nothing")
        collect.add_argument("--reason", default="", help="goes into the audit trail")
        does.add_parser(
            "check", help="write, read and delete something small; exit code 1 when the store cannot be used"
        )

    @override
    def handle(self, *_: Any, **given: Any) -> None:
        try:
            getattr(self, f"_{given['action']}")(given)
        except DomainError as error:
            raise CommandError(error.detail) from error

    def _gc(self, given: dict[str, Any]) -> None:
        if given["dry_run"]:
            self._tell(services.preview(by=SYSTEM))
            return
        done = services.collect(by=SYSTEM, reason=given["reason"])
        self.stdout.write(f"{done.expired} files expired ({done.expired_bytes} bytes).")
        self.stdout.write(f"{done.marked} blobs marked. {done.swept} blobs swept ({done.swept_bytes} bytes).")

    def _tell(self, found: Preview) -> None:
        for group in found.expiring:
            whose = f"{group.owner} in {group.project}"
            self.stdout.write(
                f"expires: {group.count} files, {group.bytes} bytes, of {whose}, oldest {group.oldest}: {group.why}"
            )
        hours = int(found.grace.total_seconds() // 3600)
        self.stdout.write(f"would be marked: {_words(found.markable)}, that nobody refers to for {hours} hours")
        self.stdout.write(f"marked: {_words(found.waiting)}; swept {hours} hours after that")
        self.stdout.write(f"would be swept now: {_words(found.sweepable)}")

    def _check(self, _given: dict[str, Any]) -> None:
        blobs.store().check()
        self.stdout.write("The store takes, gives and deletes.")


def _words(heap: Heap) -> str:
    oldest = f", oldest {heap.oldest:%Y-%m-%d %H:%M}" if heap.oldest else ""
    return f"{heap.count} blobs, {heap.bytes} bytes{oldest}"
