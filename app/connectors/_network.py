"""A destination's `network` settings in use: who judges its addresses, which proxy, which certificates."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass

from app.config.network import NetworkConfig
from app.connectors._guard import Guard
from app.connectors._proxy import Proxy
from app.connectors._tls import default_context, own_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What opening a connection needs to know of a destination; `context` gives the TLS side of it."""

    guard: Guard
    proxy: Proxy | None
    context: Callable[[], ssl.SSLContext]

    @classmethod
    def of(cls, config: NetworkConfig | None) -> "Network":
        """Ready for use, files loaded; raises `InvalidConfig` for files that cannot be used."""
        if config is None:
            return cls(guard=Guard(), proxy=None, context=default_context)
        proxy = Proxy.of(config.proxy) if config.proxy else None
        if config.ca is None and config.certificate is None:
            return cls(guard=Guard(config.allow), proxy=proxy, context=default_context)
        context = own_context(config)
        return cls(guard=Guard(config.allow), proxy=proxy, context=lambda: context)
