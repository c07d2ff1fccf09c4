"""Whether a webhook was signed by who shares its source's secret: Standard Webhooks, and vendors' own HMAC headers. Pure.

In two steps: what the headers state is read first, so that a body is not taken in for headers that cannot be right; then
the signature is held against the raw body. What is told of a refusal says what is wrong, never what would be right.
"""

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.api.problem import Kind, Problem, invalid_parameter
from app.config.hook import HookConfig
from app.errors import ConfigurationFault
from app.intake import KEY_CHARACTERS
from app.signature import (
    STANDARD_PUBLIC_KEY,
    VERIFIABLE,
    TimestampFormat,
    content,
    instant,
    read,
    secret_bytes,
    sign,
    standard_secret,
    template_parts,
)

MOST_SIGNATURES: Final = 16
LEAST_SECRET_BYTES: Final = 8
_CHALLENGE: Final = 'Webhook realm="leadrelay"'
_SEPARATOR = re.compile(r"[,;]")
_STATED: Mapping[str, str] = {"signature": r"([0-9A-Za-z+/=]{1,128})", "timestamp": r"([0-9A-Za-z:.+-]{1,40})"}


class Reason(StrEnum):
    """Why a webhook is refused; also a label of a metric."""

    MISSING = "missing"
    MALFORMED = "malformed"
    STALE = "stale"
    MISMATCH = "mismatch"


class Unproven(Problem):
    """A webhook of which it is not shown who sent it (401)."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.reason = reason
        super().__init__(Kind.BAD_SIGNATURE, detail, headers={"WWW-Authenticate": _CHALLENGE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A request's parts as they came; the headers' names in lower case."""

    method: bytes
    path: bytes
    query: bytes
    headers: Sequence[tuple[bytes, bytes]]

    def header(self, name: str) -> bytes:
        """The value of a header; raises `Unproven` unless it is there once."""
        found = [value for one, value in self.headers if one == name.lower().encode()]
        if not found:
            raise Unproven(Reason.MISSING, f"the header {name} is missing")
        if len(found) > 1:
            raise Unproven(Reason.MALFORMED, f"the header {name} is there more than once")
        return found[0].strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the headers of a webhook state: signatures with their version, the time of signing, and the webhook's id."""

    webhook: Webhook
    signatures: Sequence[tuple[str, bytes]]
    timestamp: bytes = b""
    key: bytes = b""
    body: bytes = field(default=b"", repr=False)

    @property
    def method(self) -> bytes:
        """The method."""
        return self.webhook.method

    @property
    def path(self) -> bytes:
        """The path as it was sent."""
        return self.webhook.path

    @property
    def query(self) -> bytes:
        """The query as it was sent."""
        return self.webhook.query

    @property
    def host(self) -> bytes:
        """The header."""
        return self.webhook.header("host")


class Verifier(Protocol):
    """How the webhooks of one source are told from forged ones."""

    def read(self, webhook: Webhook, now: float) -> Statement:
        """What the headers state; raises `Unproven` if that cannot be right, `now` being seconds since 1970."""

    def prove(self, statement: Statement, body: bytes) -> str:
        """The idempotency key of a webhook whose signature is right; raises `Unproven`, or `Problem` (422) for its id."""


def verifier(config: HookConfig, secrets: Sequence[str]) -> Verifier:
    """The verifier of a source's hook with its secrets resolved; raises `ConfigurationFault` for one that is unusable."""
    try:
        return StandardVerifier(config, secrets) if config.scheme == "standard" else HmacVerifier(config, secrets)
    except ValueError as error:
        raise ConfigurationFault(f"hook: {error}") from None


class StandardVerifier:
    """Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) over `id.timestamp.body`."""

    def __init__(self, config: HookConfig, secrets: Sequence[str]) -> None:
        self._tolerance_seconds = config.tolerance_seconds
        shared = [standard_secret(one) for one in secrets if not one.startswith(STANDARD_PUBLIC_KEY)]
        public = [standard_secret(one) for one in secrets if one.startswith(STANDARD_PUBLIC_KEY)]
        self._secrets = shared
        self._keys = [Ed25519PublicKey.from_public_bytes(one) for one in public]

    def read(self, webhook: Webhook, now: float) -> Statement:
        """As `Verifier.read`."""
        key = webhook.header("webhook-id")
        timestamp = webhook.header("webhook-timestamp")
        header = webhook.header("webhook-signature")
        _check_time(timestamp, "seconds", now, self._tolerance_seconds, "webhook-timestamp")
        return Statement(webhook=webhook, signatures=standard_signatures(header), timestamp=timestamp, key=key)

    def prove(self, statement: Statement, body: bytes) -> str:
        """As `Verifier.prove`."""
        signed = b".".join([statement.key, statement.timestamp, body])
        shared = [code for version, code in statement.signatures if version == "v1"]
        public = [code for version, code in statement.signatures if version == "v1a"]
        if not _matches(shared, [sign(secret, signed, "sha256") for secret in self._secrets]) and not any(
            _is_signed_by(key, code, signed) for key in self._keys for code in public
        ):
            raise _mismatch("webhook-signature")
        return _key(statement.key, "webhook-id")


class HmacVerifier:
    """A header of a vendor's own, with a code by a shared secret over a string made of the request's parts (RFC 2104)."""

    def __init__(self, config: HookConfig, secrets: Sequence[str]) -> None:
        self._config = config
        self._secrets = [secret_bytes(one, config.secret_encoding) for one in secrets]
        if any(len(one) < LEAST_SECRET_BYTES for one in self._secrets):
            raise ValueError(f"a secret has fewer than {LEAST_SECRET_BYTES} bytes")
        self._string = template_parts(config.string, VERIFIABLE)
        self._values = value_reader(config.value)

    def read(self, webhook: Webhook, now: float) -> Statement:
        """As `Verifier.read`."""
        config = self._config
        codes, timestamps = self._values(webhook.header(config.header))
        found = [("", code) for one in codes if (code := read(one, config.encoding)) is not None]
        if not found:
            raise Unproven(Reason.MALFORMED, f"the header {config.header} holds no signature that can be read")
        if config.timestamp_header is not None:
            timestamps = [webhook.header(config.timestamp_header)]
        if config.is_timed:
            place = config.timestamp_header or config.header
            if len(timestamps) != 1:
                raise Unproven(Reason.MALFORMED, f"the header {place} does not hold one timestamp")
            _check_time(timestamps[0], config.timestamp_format, now, config.tolerance_seconds, place)
        return Statement(
            webhook=webhook,
            signatures=found,
            timestamp=timestamps[0] if config.is_timed else b"",
            key=b"" if config.id_header is None else webhook.header(config.id_header),
        )

    def prove(self, statement: Statement, body: bytes) -> str:
        """As `Verifier.prove`; without an id of its own, the body's digest is the key."""
        config = self._config
        signed = content(self._string, replace(statement, body=body))
        expected = [sign(secret, signed, config.algorithm) for secret in self._secrets]
        if not _matches([code for _, code in statement.signatures], expected):
            raise _mismatch(config.header)
        return (
            f"sha256:{sha256(body).hexdigest()}" if config.id_header is None else _key(statement.key, config.id_header)
        )


def standard_signatures(header: bytes) -> list[tuple[str, bytes]]:
    """The signatures of a `webhook-signature`: version and code of each known one; raises `Unproven` when there is none.

    Those of versions to come are passed over, as the specification asks.
    """
    listed = header.split()
    if len(listed) > MOST_SIGNATURES:
        raise Unproven(Reason.MALFORMED, f"webhook-signature holds more than {MOST_SIGNATURES} signatures")
    pairs = [one.partition(b",") for one in listed]
    found = [
        (version.decode(), code)
        for version, _, text in pairs
        if version in {b"v1", b"v1a"} and (code := read(text, "base64")) is not None
    ]
    if not found:
        raise Unproven(Reason.MALFORMED, "webhook-signature holds no signature that can be read")
    return found


Values = tuple[list[bytes], list[bytes]]
"""Signatures and timestamps, as they are written."""


def value_reader(template: str) -> Callable[[bytes], Values]:
    """Reads headers that a template describes: its parts between commas or semicolons, in any order, each any number of times."""
    patterns = [_pattern(element) for element in _SEPARATOR.split(template)]

    def values(header: bytes) -> Values:
        found: dict[str, list[bytes]] = {"signature": [], "timestamp": []}
        elements = _SEPARATOR.split(header.decode("latin-1"))
        if len(elements) > MOST_SIGNATURES:
            raise Unproven(Reason.MALFORMED, f"a signature header has more than {MOST_SIGNATURES} parts")
        for element in elements:
            for names, pattern in patterns:
                if (match := pattern.fullmatch(element.strip())) is not None:
                    for name, text in zip(names, match.groups(), strict=True):
                        found[name].append(text.encode())
                    break
        return found["signature"], found["timestamp"]

    return values


def _pattern(element: str) -> tuple[Sequence[str], re.Pattern[str]]:
    parts = template_parts(element.strip(), frozenset(_STATED))
    text = "".join([_STATED[part] if odd % 2 else re.escape(part) for odd, part in enumerate(parts)])
    return parts[1::2], re.compile(text)


def _check_time(timestamp: bytes, form: TimestampFormat, now: float, tolerance_seconds: float, name: str) -> None:
    try:
        signed_at = instant(timestamp.decode("ascii"), form)
    except (ValueError, OverflowError):
        raise Unproven(Reason.MALFORMED, f"the timestamp in {name} cannot be read") from None
    if abs(now - signed_at) > tolerance_seconds:
        detail = "too old" if signed_at < now else "in the future"
        raise Unproven(Reason.STALE, f"the timestamp in {name} is {detail}; sign anew whenever you send again")


def _matches(given: Sequence[bytes], expected: Sequence[bytes]) -> bool:
    """Whether any is right; each is compared with each, however early one is found."""
    found = [hmac.compare_digest(one, other) for one in given for other in expected]
    return any(found)


def _is_signed_by(key: Ed25519PublicKey, code: bytes, signed: bytes) -> bool:
    try:
        key.verify(code, signed)
    except InvalidSignature:
        return False
    return True


def _mismatch(name: str) -> Unproven:
    return Unproven(Reason.MISMATCH, f"no signature in {name} is right for this request and its source's secret")


def _key(raw: bytes, name: str) -> str:
    try:
        key = raw.decode()
    except UnicodeDecodeError:
        key = ""
    if not 0 < len(key) <= KEY_CHARACTERS or not key.isprintable():
        raise invalid_parameter(name, f"must be 1 to {KEY_CHARACTERS} printable characters")
    return key
