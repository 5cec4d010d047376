"""Celery's part: hints. A lost or repeated task changes nothing but when the next turn comes."""

from celery import shared_task

from apps.compute.reconcile import loop


@shared_task(  # type: ignore[untyped-decorator]  # Celery has no types
    name="compute.reconcile", ignore_result=True, time_limit=30, expires=5
)
def reconcile() -> None:
    """Take a turn of the due loop now."""
    loop.wake_here()
