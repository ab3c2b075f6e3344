"""Where a message may be sent: which addresses may be dialled, and which URLs may be subscribed.

A URL of a subscription comes from outside, so whoever can write one could make this service talk to what only it can
reach. Every rule below is a network from IANA's special-purpose registries with the reason why nothing of a customer's
answers there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

REFUSED_V4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "this machine",
    "169.254.0.0/16": "link-local, where clouds keep their metadata",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relays",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved, with broadcast",
}

REFUSED_V6 = {
    "::/8": "reserved, with this machine and addresses that only embed others",
    "100::/64": "discarded",
    "2001::/23": "protocol assignments, with Teredo",
    "2001:db8::/32": "documentation",
    "2002::/16": "6to4, which embeds others",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "private, of old",
    "ff00::/8": "multicast",
}

EXCEPTED_V6 = (
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:1::3/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
)
"""Parts of 2001::/23 that IANA lists as globally reachable."""

_V4 = tuple((IPv4Network(network), reason) for network, reason in REFUSED_V4.items())
_V6 = tuple((IPv6Network(network), reason) for network, reason in REFUSED_V6.items())
_EXCEPTED = tuple(IPv6Network(network) for network in EXCEPTED_V6)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP_MARKS = (0x0000_5EFE, 0x0200_5EFE)

WELL_KNOWN_PORTS = (80, 443)
FIRST_FREE_PORT = 1024

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_HOST = re.compile(
    r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?)*\.?"
)


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether something may be dialled, and why not."""

    allowed: bool
    reason: str = ""


ALLOWED = Ruling(True)


def rule_on(address: Address, exempt: Sequence[Network] = ()) -> Ruling:
    """Whether ``address`` may be dialled. ``exempt`` networks, the operator's own, may be in any case.

    An address that carries an IPv4 address, through which the packet would arrive there, is ruled on as that one.
    """
    inner = _embedded(address)
    if inner is not None:
        ruling = rule_on(inner, exempt)
        return ruling if ruling.allowed else Ruling(False, f"{address} leads to {ruling.reason}")
    if any(address in network for network in exempt):
        return ALLOWED
    for network, reason in _V4 if isinstance(address, IPv4Address) else _V6:
        if address in network and not any(address in excepted for excepted in _EXCEPTED):
            return Ruling(False, f"{address} is in {network}: {reason}")
    if isinstance(address, IPv6Address) and (isatap := _isatap(address)) is not None:
        ruling = rule_on(isatap, exempt)
        return ruling if ruling.allowed else Ruling(False, f"{address} leads to {ruling.reason}")
    return ALLOWED


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address to which a mapped or a NAT64 address is carried."""
    if isinstance(address, IPv6Address) and (address in _MAPPED or address in _NAT64):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def _isatap(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address at the end of an intra-site tunnel, whatever the prefix."""
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP_MARKS:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


def rule_on_answers(addresses: Sequence[Address], exempt: Sequence[Network] = ()) -> Ruling:
    """Whether a name that resolves to ``addresses`` may be dialled: only if every one of them may be.

    A mixed answer is refused whole: no honest name has one, and which one is dialled would be left to chance.
    """
    if not addresses:
        return Ruling(False, "the name has no address")
    for address in addresses:
        ruling = rule_on(address, exempt)
        if not ruling.allowed:
            return ruling
    return ALLOWED


def rule_on_url(url: str, exempt: Sequence[Network] = ()) -> Ruling:
    """Whether ``url`` may be subscribed and dialled, as far as it can be said without resolving its name.

    Refused are other schemes than http and https, credentials, spellings on which parsers disagree (backslashes,
    blanks, numeric hosts that are not plain dotted addresses, zones), low ports of other protocols, refused addresses.
    """
    if not url.isascii() or "\\" in url or any(character <= " " or character == "\x7f" for character in url):
        return Ruling(False, "the URL has characters that must be percent-encoded (or punycode in its host)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        return Ruling(False, f"the URL cannot be read: {error}")
    if parts.scheme not in ("http", "https"):
        return Ruling(False, f"the scheme {parts.scheme or 'is missing'!r} is neither http nor https")
    if "@" in parts.netloc:
        return Ruling(False, "the URL carries credentials; the signature is what proves the sender")
    if port is not None and port not in WELL_KNOWN_PORTS and port < FIRST_FREE_PORT:
        return Ruling(False, f"port {port} belongs to another protocol than HTTP")
    return _rule_on_host(parts, exempt)


def _rule_on_host(parts: SplitResult, exempt: Sequence[Network]) -> Ruling:
    host = parts.hostname or ""
    if parts.netloc.startswith("["):
        if "%" in host:
            return Ruling(False, "an address with a zone means nothing outside its own machine")
        try:
            return rule_on(ip_address(host), exempt)
        except ValueError:
            return Ruling(False, f"{host!r} is not an IPv6 address")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        try:
            return rule_on(IPv4Address(host), exempt)
        except ValueError:
            return Ruling(False, f"{host!r} is not a plain dotted IPv4 address")
    if not _HOST.fullmatch(host) or len(host) > 253:
        return Ruling(False, f"{host!r} is not a host name")
    return ALLOWED
