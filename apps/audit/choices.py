from django.db.models import TextChoices


class Outcome(TextChoices):
    """Whether what was asked for was done."""

    OK = "ok"
    DENIED = "denied"


ROW_ACTIONS = ("row.insert", "row.update", "row.delete", "row.truncate")  # what triggers write
DATABASE = "database"  # the actor and the door of what a trigger saw
DOORS = ("admin", "api", "portal", "websocket", "content", "command", "system", DATABASE)
