"""Which addresses a destination may be at: public ones, and those in-house that its `network.allow` names.

Against server-side request forgery (CWE-918): an address in a template, a redirect, a WSDL or a token's answer must not
lead to what only this host can reach. Judged is what a name resolved to, so no spelling of an address gets by. It may
not know how names are resolved or connections made.
"""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from app.config.network import allowed, host_name
from app.errors import ConfigurationFault

Address = IPv4Address | IPv6Address

# IANA's registries of special-purpose addresses, and those of multicast and reserved ones. Not taken from `ipaddress`,
# whose `is_global` differs from one version of Python to the next, and passes multicast and embedded addresses.
_REFUSED_IPV4 = {
    "0.0.0.0/8": "unspecified",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "shared (carrier-grade NAT)",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved",
    "192.0.2.0/24": "for documentation",
    "192.88.99.0/24": "reserved",  # relays of 6to4, RFC 7526
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "for benchmarking",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
# Public addresses are in 2000::/3 only (RFC 4291, 2.4): what lies outside is refused, the table just says what it is.
_REFUSED_IPV6 = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "64:ff9b:1::/48": "private",  # NAT64 of a network's own, RFC 8215
    "2001:2::/48": "for benchmarking",
    "2001::/23": "reserved",  # protocols of the IETF, Teredo among them
    "2001:db8::/32": "for documentation",
    "2002::/16": "reserved",  # 6to4, given up by RFC 7526
    "3fff::/20": "for documentation",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # Amazon, Azure, Google, Oracle, OpenStack and others
        "169.254.170.2",  # credentials of Amazon ECS
        "169.254.170.23",  # credentials of Amazon EKS
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure's host
        "fd00:ec2::254",  # Amazon
        "fd00:ec2::23",  # credentials of Amazon EKS
        "fd20:ce::254",  # Google
    )
)
_IPV4 = [(IPv4Network(text), kind) for text, kind in _REFUSED_IPV4.items()]
_IPV6 = [(IPv6Network(text), kind) for text, kind in _REFUSED_IPV6.items()]
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052
_ENDS_WITH_IPV4 = (_NAT64, IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"))
_ISATAP = 0x5EFE  # RFC 5214, 6.1; one more bit says whether the address in it is unique
_METADATA_KIND = "a cloud's metadata service"


class Guard:
    """The judge of one destination's addresses; `allow` is what its `network.allow` says."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        entries = [allowed(entry) for entry in allow]
        self._names = frozenset(entry for entry in entries if isinstance(entry, str))
        self._networks = [entry for entry in entries if not isinstance(entry, str)]
        self._addresses = {network[0] for network in self._networks if network.prefixlen == network.max_prefixlen}

    def check(self, host: str, addresses: Iterable[str]) -> None:
        """Raise `ConfigurationFault` unless a connection may be made to every one of a host's addresses.

        One that is refused speaks for the whole answer: nothing can be told from the order they come in.
        """
        for text in addresses:
            kind = self._refused(host, ip_address(text))
            if kind == _METADATA_KIND:
                raise ConfigurationFault(
                    f"{host} is at the address of {kind}, which is refused unless network.allow lists that very address",
                    unsent=True,
                )
            if kind is not None:
                raise ConfigurationFault(
                    f"{host} is at an address that is {kind}, which is refused unless network.allow lists the host or "
                    "the address",
                    unsent=True,
                )

    def _refused(self, host: str, address: Address) -> str | None:
        forms = list(_forms(address))
        kind = kind_of(forms)
        if kind is None or not self._addresses.isdisjoint(forms):
            return None
        if kind != _METADATA_KIND and (
            self._allows_name(host) or any(form in network for form in forms for network in self._networks)
        ):
            return None
        return kind

    def _allows_name(self, host: str) -> bool:
        if not self._names:
            return False
        name = host_name(host)
        return name in self._names or any(
            f"*{name[place:]}" in self._names for place, letter in enumerate(name) if letter == "."
        )


def is_metadata(host: str) -> bool:
    """Whether a host is written as the address of a cloud's metadata service, whatever form of address carries it."""
    try:
        return kind_of(list(_forms(ip_address(host)))) == _METADATA_KIND
    except ValueError:
        return False


def kind_of(forms: Iterable[Address]) -> str | None:
    """What sets an address apart, in any of its forms; None if it is public in all of them."""
    kinds = [_kind(form) for form in forms]
    return _METADATA_KIND if _METADATA_KIND in kinds else next((kind for kind in kinds if kind), None)


def _kind(address: Address) -> str | None:
    if address in _METADATA:
        return _METADATA_KIND
    if isinstance(address, IPv4Address):
        return next((kind for network, kind in _IPV4 if address in network), None)
    kind = next((kind for network, kind in _IPV6 if address in network), None)
    # Where NAT64 leads to is told by the address inside.
    return kind or (None if address in _PUBLIC_IPV6 or address in _NAT64 else "reserved")


def _forms(address: Address) -> Iterator[Address]:
    """The address and the IPv4 ones that it carries, by which a gateway or this host's own stack may pass it on."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped is not None:  # this is the IPv4 address, only written otherwise (RFC 4291, 2.5.5.2)
        yield address.ipv4_mapped
        return
    plain = IPv6Address(int(address))  # without the zone that a link-local one may name
    yield plain
    last = IPv4Address(int(plain) & 0xFFFFFFFF)
    if plain.sixtofour is not None:
        yield plain.sixtofour
    if plain.teredo is not None:
        yield from plain.teredo
    if any(plain in network for network in _ENDS_WITH_IPV4) or (int(plain) >> 32) & 0xFDFFFFFF == _ISATAP:
        yield last
