"""`fathom-admin keys`: rotate, verify and retire the keys under which secrets are stored."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from apps.access.principal import SYSTEM
from apps.core import sealing
from apps.core.errors import DomainError
from apps.credentials import services


class Command(BaseCommand):
    help = "Rotate, verify or retire the keys of stored secrets. The platform goes on running meanwhile."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        does = parser.add_subparsers(dest="action", required=True)
        rotate = does.add_parser("rotate", help="seal everything under a new primary key; begun again, it goes on")
        rotate.add_argument("--values", action="store_true", help="also encrypt every value under a new data key")
        does.add_parser("verify", help="open everything; say how much is under which key")
        retire = does.add_parser("retire", help="take a key that nothing is sealed under out of the ring, for ever")
        retire.add_argument("key", help="the id of the key")

    @override
    def handle(self, *_: Any, **given: Any) -> None:
        try:
            getattr(self, f"_{given['action']}")(given)
        except DomainError as error:
            raise CommandError(error.detail) from error

    def _rotate(self, given: dict[str, Any]) -> None:
        done = services.rotate_keys(by=SYSTEM, values=given["values"])
        begun = "New primary key" if done.is_new else "Primary key"
        self.stdout.write(f"{begun} {done.primary}. {done.resealed} sealed anew, {done.reencrypted} encrypted anew.")
        self.stdout.write(f"{done.data_keys_removed} old data keys destroyed. Next: keys verify.")

    def _verify(self, _given: dict[str, Any]) -> None:
        found = services.verify_keys(by=SYSTEM)
        for kid in sealing.ring().keys:
            mark = " (primary)" if kid == found.primary else ""
            self.stdout.write(f"{kid}{mark}: {found.references[kid]} references")
        self.stdout.write(f"{found.values} values, {len(found.broken)} cannot be opened")
        for sentence in found.broken:
            self.stderr.write(sentence)
        if found.broken:
            msg = "Something cannot be opened."
            raise CommandError(msg)

    def _retire(self, given: dict[str, Any]) -> None:
        services.retire_key(given["key"], by=SYSTEM)
        self.stdout.write(f"{given['key']} is gone. Destroy its copies in backups of the key ring too.")
