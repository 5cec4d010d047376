"""Python's cycle collector in processes that serve for long."""

import gc


def collect_seldom() -> None:
    """Call it when everything is loaded: that stays, and what comes leaves few cycles.

    The default thresholds make the collector walk over all of it again and again: a tenth of the throughput.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
