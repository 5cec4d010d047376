"""Text from outside that the database can store."""

from apps.core.errors import Invalid

LONGEST_TEXT = 1_000_000


def checked(name: str, value: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text that the database can store. Raises: Invalid."""
    if "\x00" in value:
        raise wrong(name, "NUL characters are not accepted.")
    if len(value) > longest:
        raise wrong(name, f"Longer than {longest} characters.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(name, "Not valid text.") from None
    return value


def wrong(name: str, sentence: str) -> Invalid:
    return Invalid(f"Invalid value for parameter '{name}' supplied: {sentence}", errors={name: [sentence]})
