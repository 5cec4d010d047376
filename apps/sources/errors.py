"""How a fetch can go wrong: for good, or for now. Both are one sentence for the person whose work waits for it."""


class FetchFailed(Exception):
    """Trying again changes nothing: somebody has to do something, and the sentence says what."""


class Unreachable(Exception):
    """Nobody answered, or not as they should: it is tried again."""
