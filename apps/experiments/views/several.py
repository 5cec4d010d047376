"""What is done to the chosen rows of a table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.contrib import messages
from django.http import HttpRequest

from apps.core.errors import DomainError

Acts = Mapping[str, tuple[Callable[..., object], str]]  # the button's word -> service, and what to say of its rows


def apply(request: HttpRequest, rows: Sequence[Any], acts: Acts, *, by: Any, noun: str) -> None:
    """Do the posted action to each row through its service: what is refused is counted and said."""
    if (request.POST.get("action") or "") not in acts or not rows:
        messages.warning(request, "Nothing was chosen.")
        return
    act, done_word = acts[request.POST["action"]]
    refused: list[str] = []
    for row in rows:
        try:
            act(row, by=by)
        except DomainError as refusal:
            refused.append(f"{row}: {refusal.detail}")
    done = len(rows) - len(refused)
    if done:
        messages.success(request, f"{done} {noun}{'s' if done > 1 else ''} {done_word}.")
    if refused:
        messages.warning(request, f"{len(refused)} left as they were. {' '.join(refused[:3])}")
