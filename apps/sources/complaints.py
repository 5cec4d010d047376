"""What git complains about, as what is to be done: a sentence for the person whose work waits."""

import re
from collections.abc import Sequence

from apps.sources.addresses import Address
from apps.sources.errors import FetchFailed, Unreachable

_FATAL = re.compile(r"^(?:fatal|error|remote|ERROR): *", re.MULTILINE)
# What git says -> what is to be done, or, where it is for now only, None.
_MEANINGS: Sequence[tuple[str, str | None]] = (
    (r"host key verification failed|remote host identification has changed|no .* host key is known",
     "the key of {host} is not the one in the credential's known hosts"),
    (r"authentication failed|could not read (username|password)|permission denied|error: 40[13]\b|invalid credentials", "{denied}"),
    (r"certificate", "the certificate of {host} is not accepted"),
    (r"repository .* not found|error: 404|not (appear to be )?a git repository|(project|remote ref head) not found|no such repository", "there is no repository at this address{or_hidden}"),
    (r"remote ref|not our ref|unadvertised object|no such ref", "it has no {ref}"),
    (r"mismatched algorithms|unknown hash algorithm", "it is a repository of another object format than SHA-1"),
    (r"transport '.*' not allowed|protocol .* not supported", "its server leads to an address of a form that is not asked"),
    (r"no space left|file size limit|file too large", "it is larger than may be fetched"),
    (r"error: 4\d\d\b", "{host} refuses it: {said}"),
)  # fmt: skip


def meaning(said: str, address: Address, ref: str, *, is_given: bool) -> FetchFailed | Unreachable:
    """Turn what git complained about into what is to be done."""
    denied = (
        f"{address.place} does not accept the credential, or it may not read this repository"
        if is_given
        else f"{address.place} wants to know who asks: name a credential that may read it, or there is no such repository"
    )
    words = {
        "host": address.place,
        "ref": ref,
        "denied": denied,
        "or_hidden": "" if is_given else ", or none that may be read without a credential",
        "said": last(said),
    }
    for pattern, sentence in _MEANINGS:
        if sentence is not None and re.search(pattern, said, re.IGNORECASE):
            return FetchFailed(sentence.format_map(words))
    return Unreachable(f"{address.place} did not answer as it should: {last(said)}")


def last(said: str) -> str:
    """Return the last complaint, without what git puts before it."""
    lines = [line.strip() for line in _FATAL.sub("", said).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing was said"
