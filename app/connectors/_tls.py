"""TLS as a client: whom we trust, who we are, and what a server's refusal of our certificate means.

At least TLS 1.2, certificates always checked. It may not know connections.
"""

import ssl
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import certifi

from app.config.network import NetworkConfig
from app.config.secrets import references
from app.errors import Complaint, InvalidConfig

_REFUSALS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "asks for a client certificate (network.certificate)",
    "SSLV3_ALERT_BAD_CERTIFICATE": "does not accept our certificate",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "does not accept our certificate",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "does not accept our certificate: it was revoked",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "does not accept our certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "does not accept our certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "does not accept our certificate: it does not know its authority",
    "TLSV1_ALERT_DECRYPT_ERROR": "does not accept our certificate: its signature is not its authority's",
    "TLSV1_ALERT_ACCESS_DENIED": "does not let our certificate in",
    # What a server that gets no client certificate says before TLS 1.3.
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "refused the TLS handshake: it may ask for a client certificate (network.certificate)",
}
"""Alerts about certificates (RFC 8446, 6.2), by OpenSSL's names."""


def refusal(error: OSError) -> str | None:
    """What a server says of our certificate by an error in reading; None for any other error.

    With TLS 1.3 it comes only after the first request has left. A server that says it has not taken the request up.
    """
    return _REFUSALS.get(error.reason or "") if isinstance(error, ssl.SSLError) else None


@cache
def default_context() -> ssl.SSLContext:
    """The system's trusted certificates (SSL_CERT_FILE as OpenSSL reads it), or certifi's where the system has none."""
    return _new_context()


def own_context(config: NetworkConfig) -> ssl.SSLContext:
    """The same, with a destination's own authorities and our certificate for it.

    Raises `InvalidConfig` with a complaint about each file that cannot be used.
    """
    context = _new_context()
    if found := [*_load_authorities(context, config), *_load_certificate(context, config)]:
        raise InvalidConfig(found)
    return context


def unusable_files(config: NetworkConfig) -> list[Complaint]:
    """What is wrong with the files of a configuration as it is written.

    What holds references to secrets is left out: their values are not known here.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = [config.ca, config.certificate, config.key]
    if any(references(path) for path in paths):
        return []
    if config.key_password is not None:  # the key cannot be read without it
        unread = [(name, getattr(config, name)) for name in ("certificate", "key")]
        files = [complaint for name, path in unread if path and (complaint := _unreadable(name, path))]
        return [*_load_authorities(context, config), *files]
    return [*_load_authorities(context, config), *_load_certificate(context, config)]


def _new_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not context.cert_store_stats()["x509_ca"]:
        context.load_verify_locations(certifi.where())
    return context


def _load_authorities(context: ssl.SSLContext, config: NetworkConfig) -> Iterator[Complaint]:
    if config.ca is None:
        return
    if complaint := _unreadable("ca", config.ca):
        yield complaint
        return
    if _holds_certificate(config.ca):
        context.load_verify_locations(config.ca)
    else:
        yield _complaint("ca", "holds no certificate in PEM form")


def _load_certificate(context: ssl.SSLContext, config: NetworkConfig) -> Iterator[Complaint]:
    if config.certificate is None:
        return
    files = [("certificate", config.certificate), *([("key", config.key)] if config.key else [])]
    if unread := [complaint for name, path in files if (complaint := _unreadable(name, path))]:
        yield from unread
        return
    if not _holds_certificate(config.certificate):
        yield _complaint("certificate", "holds no certificate in PEM form")
        return
    holder = "key" if config.key else "certificate"
    try:
        # Never without a password: OpenSSL would ask for it at the terminal.
        context.load_cert_chain(config.certificate, config.key, password=config.key_password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield _complaint(holder, "the key does not belong to the certificate")
        else:
            yield _complaint(holder, "holds no private key in PEM form that network.key_password opens")


def _holds_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return False
    return True


def _unreadable(name: str, path: str) -> Complaint | None:
    try:
        with Path(path).open("rb"):
            return None
    except OSError as error:
        return _complaint(name, f"the file cannot be read: {(error.strerror or type(error).__name__).lower()}")


def _complaint(name: str, detail: str) -> Complaint:
    return Complaint(field=f"network.{name}", detail=detail)
