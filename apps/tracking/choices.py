from django.db.models import TextChoices


class RunStatus(TextChoices):
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"
    KILLED = "killed", "Killed"


class ModelStatus(TextChoices):
    PENDING = "pending", "Pending"
    READY = "ready", "Ready"
    FAILED = "failed", "Failed"


class Direction(TextChoices):
    INPUT = "input", "Input"
    OUTPUT = "output", "Output"
