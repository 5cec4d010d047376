"""The columns of the run table. In an address a column is a word: `status`, `params.lr`, `metrics.loss`, `min.loss`."""

from dataclasses import dataclass

from apps.tracking.language.grammar import Order

NAME = "name"
# Word -> what stands above the column.
ATTRIBUTES = {
    "status": "Status",
    "started": "Started",
    "ended": "Ended",
    "created": "Created",
    "duration": "Duration",
    "owner": "Owner",
    "team": "Team",
    "tags": "Tags",
}
STANDARD = ("status", "started", "duration", "owner")
KINDS = {"params": "param", "metrics": "metric", "min": "min", "max": "max", "tags": "tag"}
MEASURED = frozenset({"metric", "min", "max"})
LONGEST = 260  # of a word: a key and what stands before it
# Word -> the attribute of the language, or of the table alone, that orders by it.
_ORDERS = {
    NAME: "run_name",
    "status": "status",
    "started": "start_time",
    "ended": "end_time",
    "created": "created_at",
    "duration": "duration",
    "owner": "user_id",
    "team": "team",
}
# What runs are grouped by, as the language calls it.
GROUPED = {"status": "status", "owner": "user_id", NAME: "run_name"}
_PREFIXES = {kind: word for word, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Column:
    """`kind` is "attribute", "param", "metric" (the last value), "min", "max" or "tag"."""

    kind: str
    key: str

    @property
    def word(self) -> str:
        return self.key if self.kind == "attribute" else f"{_PREFIXES[self.kind]}.{self.key}"

    @property
    def label(self) -> str:
        if self.kind == "attribute":
            return ATTRIBUTES.get(self.key, self.key.capitalize())
        return f"{self.kind} {self.key}" if self.kind in {"min", "max"} else self.key

    @property
    def kind_label(self) -> str:
        """The small word above a key: where it comes from."""
        return {"param": "param", "metric": "metric", "min": "metric", "max": "metric", "tag": "tag"}.get(self.kind, "")

    @property
    def is_measured(self) -> bool:
        return self.kind in MEASURED

    @property
    def is_attribute(self) -> bool:
        return self.kind == "attribute"

    @property
    def can_order(self) -> bool:
        return self.kind != "attribute" or self.key in _ORDERS

    def order(self, *, ascending: bool) -> Order:
        """Return the order by this column."""
        if self.kind == "attribute":
            return Order("attribute", _ORDERS[self.key], ascending)
        return Order("number" if self.kind == "param" else self.kind, self.key, ascending)


def read_column(word: str) -> Column | None:
    """Return the column of a word, None for one that is none."""
    if word in ATTRIBUTES or word == NAME:
        return Column("attribute", word)
    prefix, dot, key = word.partition(".")
    kind = KINDS.get(prefix)
    return Column(kind, key) if kind and dot and key and len(word) <= LONGEST and is_text(word) else None


def is_text(word: str) -> bool:
    """Tell whether the database can hold it."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in word
