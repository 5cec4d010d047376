"""`manage.py up` in the list of commands. The work is done before Django is loaded: see manage.py and config/up."""

from argparse import REMAINDER, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from config.up.main import main


class Command(BaseCommand):
    help = "Start the whole platform on this machine: database, web and worker."
    requires_system_checks = ()

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("options", nargs=REMAINDER, help="see `manage.py up --help`")

    @override
    def handle(self, *_: Any, **given: Any) -> None:
        code = main(given["options"])
        if code:
            msg = "The platform did not run."
            raise CommandError(msg, returncode=code)
