"""Writes the table of policy actions into docs/contributing/PERMISSIONS.md, from what the apps declare.

Usage: python -m tools.permissions_doc [--check]
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs/contributing/PERMISSIONS.md"
BEGIN, END = "<!-- actions: begin -->", "<!-- actions: end -->"


def table() -> str:
    """Build the table: one row per model, its actions by least role."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
    import django  # noqa: PLC0415 -- only now is it said with which settings

    django.setup()
    from apps.access import policy  # noqa: PLC0415 -- needs Django
    from apps.access.decision import Role  # noqa: PLC0415 -- as above

    lines = [
        "| model | scope prefix | judged by | viewer may | editor may also | manager may also |",
        "|---|---|---|---|---|---|",
    ]
    for declared in sorted(policy.registered(), key=lambda one: one.model._meta.label):  # noqa: SLF001 -- documented API
        judged = f"its {declared.via}" if declared.via else "its own rule" if declared.rule else "its columns"
        columns = [
            ", ".join(f"`{action}`" for action, least in declared.actions.items() if least is role)
            for role in (Role.VIEWER, Role.EDITOR, Role.MANAGER)
        ]
        lines.append(f"| {declared.model.__name__} | `{declared.name}:` | {judged} | {' | '.join(columns)} |")
    return "\n".join(lines)


def document(text: str) -> str:
    """Return the page with its table made anew. Raises: ValueError when the page has no marks."""
    head, _, rest = text.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        msg = f"{TARGET} has no {BEGIN} … {END}"
        raise ValueError(msg)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def main(arguments: list[str]) -> None:
    before = TARGET.read_text()
    after = document(before)
    if "--check" in arguments:
        sys.exit(0 if before == after else "docs/contributing/PERMISSIONS.md is out of date")
    TARGET.write_text(after)


if __name__ == "__main__":
    main(sys.argv[1:])
