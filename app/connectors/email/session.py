"""One SMTP connection whose every wait ends at a deadline.

The standard library's timeouts count from the last byte received, so a server that trickles could hold a thread for
ever; here they shrink towards the instant by which the whole send must have ended.
"""

import smtplib
import socket
import ssl
from time import monotonic

from app.connectors.email.settings import EmailSettings

_READ_BYTES = 4096


class Session(smtplib.SMTP):
    """A connection greeted, encrypted and logged in; `deadline`, a `time.monotonic()` instant, is set for each use.

    Raises what smtplib raises. `sock` is None once it is closed, by either side.
    """

    def __init__(self, settings: EmailSettings, *, ehlo_name: str, tls: ssl.SSLContext | None, deadline: float) -> None:
        self.deadline = deadline
        self.used_at = monotonic()
        self._tls_at_once = tls if settings.security == "tls" else None
        super().__init__(settings.host, settings.effective_port, local_hostname=ehlo_name)
        try:
            self.ehlo_or_helo_if_needed()
            if settings.security == "starttls":
                self.starttls(context=tls)
                self.ehlo_or_helo_if_needed()
            if settings.username is not None and settings.password is not None:
                self.login(settings.username, settings.password.get_secret_value())
        except BaseException:
            self.close()
            raise

    def wait(self) -> None:
        """Let the next socket operation wait until the deadline; raises TimeoutError when it has passed."""
        left = self.deadline - monotonic()
        if left <= 0:
            self.close()
            raise TimeoutError("the time for this send is up")
        if self.sock is not None:
            self.sock.settimeout(left)

    def send(self, s: str | bytes) -> None:  # type: ignore[override]  # other buffers never come here
        """Send within the deadline."""
        self.wait()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        """Read one reply within the deadline."""
        if self.file is None:
            self.file = _Replies(self)
        return super().getreply()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002  # smtplib's hook, which SMTP_SSL uses too; the deadline is our timeout
        plain = _connect(host, port, self.deadline)
        plain.settimeout(max(self.deadline - monotonic(), 0.001))
        return self._tls_at_once.wrap_socket(plain, server_hostname=host) if self._tls_at_once else plain


class _Replies:
    """The lines a server sends, in the shape smtplib expects of a file."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._read = b""

    def readline(self, limit: int) -> bytes:
        while b"\n" not in self._read and len(self._read) < limit:
            self._session.wait()
            sock = self._session.sock
            more = sock.recv(_READ_BYTES) if sock is not None else b""
            if not more:
                return b""
            self._read += more
        line, end, rest = self._read[:limit].partition(b"\n")
        self._read = rest + self._read[limit:]
        return line + end

    def close(self) -> None:
        self._read = b""


def _connect(host: str, port: int, deadline: float) -> socket.socket:
    """Connect to the first address that answers, leaving each its share of the time."""
    places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = ConnectionError(f"{host} has no address")
    for tried, (*_, address) in enumerate(places):
        share = (deadline - monotonic()) / (len(places) - tried)
        if share <= 0:
            raise TimeoutError("the time for this send is up")
        try:
            return socket.create_connection((str(address[0]), port), timeout=share)
        except OSError as error:
            failure = error
    raise failure
