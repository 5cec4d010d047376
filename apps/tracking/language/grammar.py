"""The language of filters and orders, which is MLflow's, read by a tokenizer and a recursive descent. Nothing of the text reaches SQL.

    filter     = [ comparison { AND comparison } ]
    comparison = identifier ( operator value | [NOT] IN list | IS [NOT] NULL )
    operator   = "=" | "!=" | "<" | "<=" | ">" | ">=" | LIKE | ILIKE
    value      = number | text          list = "(" text { "," text } ")"
    identifier = word | [word "."] ( `name` | "name" )          a word may hold dots: "metrics.val.loss"
    order      = identifier [ ASC | DESC ]

Text stands between single or double quotes. Keywords are read in capitals or small letters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.core.errors import Invalid
from apps.core.texts import checked

LONGEST = 50_000
MOST_COMPARISONS = 100
MOST_IN_A_LIST = 1_000

ENTITIES = {
    word: entity
    for entity, words in {
        "metric": ("metric", "metrics"),
        "param": ("param", "params", "parameter", "parameters"),
        "tag": ("tag", "tags"),
        "attribute": ("attribute", "attributes", "attr", "run"),
        "dataset": ("dataset", "datasets"),
    }.items()
    for word in words
}

TOKEN = re.compile(
    r"""\s*(?:
        (?P<name>`[^`]*`)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?![A-Za-z0-9_.])
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<word>[A-Za-z_][A-Za-z0-9_.\-/:]*)
      | (?P<sign>[(),])
    )""",
    re.VERBOSE | re.ASCII,
)


class IllFormed(Invalid):
    """A filter or order that cannot be understood. `at` is the place in the text, None where it ends too early."""

    def __init__(self, detail: str, *, sentence: str, at: int | None, length: int = 0) -> None:
        super().__init__(detail)
        self.sentence, self.at, self.length = sentence, at, length


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    at: int

    def says(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


@dataclass(frozen=True, slots=True)
class Comparison:
    """`operator` is one of = != < <= > >= LIKE ILIKE IN "NOT IN" "IS NULL" "IS NOT NULL"; the last two have no value.

    `at` and `length` are the place of its identifier in the text.
    """

    entity: str
    key: str
    operator: str
    value: str | float | tuple[str, ...] | None = None
    at: int = field(default=0, compare=False)
    length: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Order:
    entity: str
    key: str
    ascending: bool = True


def parse_filter(text: str) -> list[Comparison]:
    """Read a filter; an empty one is no comparison. Raises: Invalid, which says where it went wrong."""
    return _Reader(text, "filter").filter()


def parse_order(text: str) -> Order:
    """Read one entry of `order_by`. Raises: Invalid."""
    return _Reader(text, "order_by").order()


class _Reader:
    """Reads tokens from the left; each method reads one rule of the grammar."""

    def __init__(self, text: str, field: str) -> None:
        self._field = field
        self._text = checked(field, text, LONGEST)
        self._tokens = self._tokenize()
        self._position = 0

    def filter(self) -> list[Comparison]:
        found: list[Comparison] = []
        while not self._is_at_end:
            if found:
                self._word("AND")
            found.append(self._comparison())
            if len(found) > MOST_COMPARISONS:
                raise self._wrong(None, f"At most {MOST_COMPARISONS} comparisons are read.")
        return found

    def order(self) -> Order:
        entity, key = self._identifier()
        ascending = True
        if not self._is_at_end:
            direction = self._next()
            if not (direction.says("ASC") or direction.says("DESC")):
                raise self._wrong(direction, "Expected ASC or DESC")
            ascending = direction.says("ASC")
        if not self._is_at_end:
            raise self._wrong(self._next(), "Expected nothing more")
        return Order(entity, key, ascending)

    def _comparison(self) -> Comparison:
        begin = self._peek.at if self._peek is not None else 0
        entity, key = self._identifier()
        end = self._tokens[self._position - 1]
        operator, value = self._compared()
        return Comparison(entity, key, operator, value, begin, end.at + len(end.text) - begin)

    def _compared(self) -> tuple[str, Any]:
        token = self._next()
        if token.kind == "operator":
            return token.text, self._value()
        if token.says("LIKE") or token.says("ILIKE"):
            return token.text.upper(), self._quoted()
        if token.says("IN"):
            return "IN", self._list()
        if token.says("NOT"):
            self._word("IN")
            return "NOT IN", self._list()
        if token.says("IS"):
            negated = self._peek_says("NOT")
            if negated:
                self._next()
            self._word("NULL")
            return "IS NOT NULL" if negated else "IS NULL", None
        raise self._wrong(token, "Expected a comparison such as = or LIKE")

    def _identifier(self) -> tuple[str, str]:
        token = self._next()
        if token.kind in {"name", "text"} and token.text[0] != "'":
            return "attribute", self._key(token)
        if token.kind != "word":
            raise self._wrong(token, "Expected what is compared, such as metrics.loss")
        first, dot, rest = token.text.partition(".")
        if not dot:
            return "attribute", token.text
        entity = ENTITIES.get(first.lower())
        if entity is None:
            raise self._wrong(token, f"One of {', '.join(sorted(ENTITIES))} stands before the dot")
        if rest:
            return entity, rest
        quoted = self._next()
        if quoted.kind not in {"name", "text"} or quoted.text[0] == "'":
            raise self._wrong(quoted, "Expected a name after the dot")
        return entity, self._key(quoted)

    def _key(self, token: Token) -> str:
        if not (key := token.text[1:-1]):
            raise self._wrong(token, "A name may not be empty")
        return key

    def _value(self) -> str | float:
        token = self._next()
        if token.kind == "number":
            return float(token.text)
        if token.kind == "text":
            return token.text[1:-1]
        raise self._wrong(token, "Expected a number, or text in quotes")

    def _quoted(self) -> str:
        token = self._next()
        if token.kind != "text":
            raise self._wrong(token, "Expected text in quotes")
        return token.text[1:-1]

    def _list(self) -> tuple[str, ...]:
        self._sign("(")
        found = [self._quoted()]
        while not (self._peek is not None and self._peek.text == ")"):
            self._sign(",")
            found.append(self._quoted())
            if len(found) > MOST_IN_A_LIST:
                raise self._wrong(None, f"A list may have {MOST_IN_A_LIST} entries.")
        self._sign(")")
        return tuple(found)

    def _word(self, word: str) -> None:
        token = self._next()
        if not token.says(word):
            raise self._wrong(token, f"Expected {word}")

    def _sign(self, sign: str) -> None:
        token = self._next()
        if token.kind != "sign" or token.text != sign:
            raise self._wrong(token, f"Expected {sign!r}")

    @property
    def _peek(self) -> Token | None:
        return None if self._is_at_end else self._tokens[self._position]

    def _peek_says(self, word: str) -> bool:
        return self._peek is not None and self._peek.says(word)

    @property
    def _is_at_end(self) -> bool:
        return self._position >= len(self._tokens)

    def _next(self) -> Token:
        if self._is_at_end:
            raise self._wrong(None, "It ends too early.")
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _tokenize(self) -> Sequence[Token]:
        tokens: list[Token] = []
        position, end = 0, len(self._text.rstrip())
        while position < end:
            match = TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                rest = self._text[position:].lstrip()
                raise self._wrong(Token("", rest.rstrip()[:20], len(self._text) - len(rest)), "This cannot be read")
            tokens.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
            position = match.end()
        return tokens

    def _wrong(self, token: Token | None, sentence: str) -> IllFormed:
        where = f", not {token.text[:60]!r} at character {token.at + 1}." if token else ""
        return IllFormed(
            f"Invalid {self._field} '{self._text[:200]}': {sentence}{where}",
            sentence=f"{sentence}{where}",
            at=token.at if token else None,
            length=len(token.text) if token else 0,
        )
