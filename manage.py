#!/usr/bin/env python3
"""Every administrative command, `up` first of all."""

import os
import sys

MINIMUM = (3, 11)


def main() -> None:
    # This check stands before every other import: on an older Python they would fail with a riddle instead of a sentence.
    if sys.version_info < MINIMUM:  # noqa: UP036 -- told to people who start it with an older one
        sys.exit("Fathom needs Python 3.11 or newer; this is Python %d.%d." % sys.version_info[:2])  # noqa: UP031 -- must parse everywhere
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 -- after the check above

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
