import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from typing_extensions import override

from apps.audit import export, organizations, querying, sealing, verification
from apps.audit.export import Format
from apps.audit.models import AuditEvent
from apps.core.errors import Invalid


class Command(BaseCommand):
    """Verify the audit trail, or write it out."""

    help = "Verify the audit trail's hash chains (exit code 1 when something is wrong), seal, anchor, or export it."

    @override
    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True)
        verify = commands.add_parser("verify", help="Recompute the chains and name what is not as it was written.")
        verify.add_argument("--organization", metavar="SLUG", help="This organization's chain only.")
        verify.add_argument("--json", action="store_true", dest="as_json")
        out = commands.add_parser("export", help="Write events to standard output.")
        out.add_argument("--format", choices=[form.value for form in Format], default=Format.NDJSON.value, dest="form")
        for name in querying.FILTERS:
            out.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar=name.upper())
        commands.add_parser("seal", help="Seal what is committed, now: the worker does it by itself.")
        anchor = commands.add_parser("anchor", help="Append the heads of the chains to the anchor file, now.")
        anchor.add_argument("--file", default=settings.AUDIT_ANCHOR)

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        acts: dict[str, Callable[[dict[str, Any]], None]] = {
            "verify": self._verify,
            "export": self._export,
            "seal": self._seal,
            "anchor": self._anchor,
        }
        acts[options["what"]](options)

    def _verify(self, options: dict[str, Any]) -> None:
        slug, organization = options["organization"], None
        if slug is not None and (organization := organizations.find(slug)) is None:
            msg = f"There is no organization {slug!r}."
            raise CommandError(msg, returncode=2)
        report = verification.verify(organization=organization)
        if options["as_json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
        else:
            for problem in report.problems:
                self.stdout.write(f"{problem.kind}: {problem.detail}")
            if report.left_out:
                self.stdout.write(f"and {report.left_out} more")
            verdict = "intact" if report.is_clean else f"{len(report.problems) + report.left_out} problems"
            self.stdout.write(f"{report.events} events in {report.chains} chains: {verdict}")
        if not report.is_clean:
            sys.exit(1)

    def _export(self, options: dict[str, Any]) -> None:
        given = {name: options[name] for name in querying.FILTERS if options[name] is not None}
        try:
            wanted = querying.Wanted.read(given)
        except Invalid as error:
            raise CommandError(error.detail, returncode=2) from error
        for part in export.stream(wanted.apply(AuditEvent.objects.all()), Format(options["form"])):
            self.stdout.write(part.decode(), ending="")

    def _seal(self, _options: dict[str, Any]) -> None:
        total = 0
        while (done := sealing.seal()) > 0:
            total += done
        self.stdout.write(f"sealed {total}")

    def _anchor(self, options: dict[str, Any]) -> None:
        if not options["file"]:
            msg = "Name a file, or set FATHOM_AUDIT_ANCHOR."
            raise CommandError(msg, returncode=2)
        self.stdout.write(f"anchored {sealing.anchor(options['file'])} chains")
