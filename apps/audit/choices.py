from django.db.models import TextChoices


class Outcome(TextChoices):
    """Whether what was asked for was done."""

    OK = "ok"
    DENIED = "denied"


ROW_ACTIONS = ("row.insert", "row.update", "row.delete", "row.truncate")  # what triggers write
LOOKS = ("see_as", "see_as_end")
LOOKS_AND_EXPORTS = (*LOOKS, "export")
DATABASE = "database"  # the actor and the door of what a trigger saw
DOORS = ("admin", "api", "portal", "websocket", "content", "command", "system", DATABASE)
