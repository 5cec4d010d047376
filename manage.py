#!/usr/bin/env python3
"""Every administrative command, `up` first of all."""

import os
import sys

MINIMUM = (3, 11)


def main() -> None:
    """Run the command that the arguments name."""
    # This stands before every other import: an older Python would fail there with a riddle instead of a sentence.
    if sys.version_info < MINIMUM:
        sys.exit("Fathom needs Python 3.11 or newer; this is Python {}.{}.".format(*sys.version_info))
    if sys.argv[1:2] == ["up"]:
        from config.up.main import main as up  # noqa: PLC0415 -- after the check above, and without loading Django

        sys.exit(up(sys.argv[2:]))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 -- after the check above

    _name_the_door()
    execute_from_command_line(sys.argv)


def _name_the_door() -> None:
    """Let the audit trail say that a command did it, and who sat before it."""
    import getpass  # noqa: PLC0415 -- not for `up`
    import platform  # noqa: PLC0415 -- as above

    from apps.core.ids import new_id  # noqa: PLC0415 -- after the check above
    from apps.core.middleware import RequestContext, current_request  # noqa: PLC0415 -- as above

    try:
        person = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        person = str(os.getuid())
    whom = f"{person}@{platform.node()}"[:150]
    current_request.set(RequestContext(str(new_id()), None, "command", on_behalf_of=whom))


if __name__ == "__main__":
    main()
