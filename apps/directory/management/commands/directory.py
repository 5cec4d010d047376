"""`manage.py directory`: look at the directory from where the platform runs."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from apps.access.principal import SYSTEM
from apps.accounts.models import User
from apps.core.errors import DomainError
from apps.directory import registry, services
from apps.directory.choices import Outcome
from apps.directory.planning import Plan


class Command(BaseCommand):
    """Check the connection, show what a sync would change, sync, or let an account be claimed anew."""

    help = "The LDAP directory: check, sync [--dry-run] [--force], forget USERNAME --reason WHY."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("check", help="Ask for everybody and say how many there are.")
        sync = actions.add_parser("sync", help="Compare accounts and memberships with the directory.")
        sync.add_argument("--dry-run", action="store_true", help="Say what would change, and change nothing.")
        sync.add_argument("--force", action="store_true", help="Apply a plan that is held back.")
        forget = actions.add_parser("forget", help="Let the next person of this name claim the account.")
        forget.add_argument("username")
        forget.add_argument("--reason", required=True)

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['action']}")(options)
        except DomainError as error:
            raise CommandError(error.detail) from error

    def _check(self, _options: Any) -> None:
        asked = registry.read_all()
        if not asked:
            msg = "No directory that can be asked for everybody is switched on."
            raise CommandError(msg)
        for source, people in asked.items():
            groups = {group for person in people for group in person.groups}
            self.stdout.write(
                f"{source.label}: {len(people)} people, {len(groups)} names of groups with people in them"
            )
            for person in people:
                if person.problem:
                    self.stdout.write(f"  {person.external_id}: {person.problem}")

    def _sync(self, options: Any) -> None:
        if options["dry_run"]:
            self._show(services.preview(by=SYSTEM))
            return
        done = services.sync(by=SYSTEM, force=options["force"])
        for change in done.changes:
            self.stdout.write(change)
        if done.outcome != Outcome.DONE:
            raise CommandError(done.message)
        self.stdout.write(f"{done}: {len(done.changes)} changes")

    def _show(self, plan: Plan) -> None:
        for change in (*plan.changes, *plan.refusals):
            self.stdout.write(str(change))
        self.stdout.write(f"{plan.seen} people read, {len(plan.changes)} changes; nothing was changed")
        if plan.held:
            self.stdout.write(f"held back: {plan.held}")

    def _forget(self, options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            msg = "There is nobody of this name."
            raise CommandError(msg)
        services.forget_identity(user, by=SYSTEM, reason=options["reason"])
        self.stdout.write(f"The next person called {user} in the directory gets this account.")
