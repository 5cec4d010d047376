"""From which addresses a token may be used: networks in the usual notation, checked at each use without the database."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from apps.core.errors import Invalid

MOST = 50


def parse(texts: Iterable[str]) -> list[str]:
    """Return networks in their one spelling. Raises: Invalid with a sentence for each that is none."""
    given = [text.strip() for text in texts if text.strip()]
    if len(given) > MOST:
        raise Invalid(errors={"addresses": [f"At most {MOST} networks."]})
    found, problems = [], []
    for text in given:
        try:
            found.append(str(ip_network(text)))
        except ValueError as error:
            problems.append(f"{error}."[:200])
    if problems:
        raise Invalid(errors={"addresses": problems})
    return list(dict.fromkeys(found))


def lie_within(networks: Iterable[str], others: Iterable[str]) -> bool:
    """Say whether nothing reaches beyond `others`; no networks at all are everywhere."""
    given, limits = [_network(text) for text in networks], [_network(text) for text in others]
    return not limits or (bool(given) and all(any(_is_part(one, limit) for limit in limits) for one in given))


def _is_part(one: IPv4Network | IPv6Network, of: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(of, IPv4Network) and one.subnet_of(of)
    return isinstance(of, IPv6Network) and one.subnet_of(of)


def hold(networks: Iterable[str], address: str | None) -> bool:
    """Say whether `address` lies in one of the networks. An unknown address lies in none."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in _network(text) for text in networks)


@lru_cache(maxsize=4096)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text)
