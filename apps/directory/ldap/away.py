from apps.core.errors import Unready

AWAY = "The directory is unavailable at the moment. This was not counted as a failed login; try again soon."


class Away(Unready):
    """The server itself does not answer, whoever asks."""
