"""`manage.py recover_account`: lets somebody in again who is locked out, from the machine itself."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from apps.access.principal import SYSTEM
from apps.accounts import services
from apps.accounts.models import User
from apps.core.errors import DomainError


class Command(BaseCommand):
    help = (
        "Print a one-time link by which a person sets a new password; with --second-factor also take his off. Audited."
    )

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--reason", required=True, help="What for; it goes into the audit trail.")
        parser.add_argument("--second-factor", action="store_true", help="Take a lost second factor off the account.")

    @override
    def handle(self, *args: Any, username: str, reason: str, second_factor: bool, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            msg = f"There is no {username}."
            raise CommandError(msg)
        try:
            if second_factor:
                services.reset_second_factor(user, by=SYSTEM, reason=reason)
            path = services.issue_reset_link(user, by=SYSTEM, reason=reason)
        except DomainError as refusal:
            raise CommandError(refusal.detail) from refusal
        self.stdout.write(f"{settings.FATHOM_URL}{path}")
