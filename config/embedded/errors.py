"""What goes wrong when the platform starts."""


class StartError(Exception):
    """The platform cannot start. The message is one sentence for a person, and says what to do."""
