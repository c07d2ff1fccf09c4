"""Every exception the product raises on purpose.

| LeadrelayError
|   InvalidInput            a producer or integrator gave something that cannot be taken; says where and what to do
|     InvalidLead           fields of a lead
|     InvalidConfig         a configuration file
|   InvalidTemplate         a template, rule, path or regular expression that cannot be compiled
|   NotFound                the named thing does not exist
|   Conflict                it exists, but not in a state that allows this
|   Refused                 no key, a wrong key, or a key without the scope
|   Unavailable             a server of ours is out of reach: the ledger, if it is not
|     BrokerUnavailable     the broker
|     Outdated              its tables are older than this code: `leadrelay migrate` has not run yet
|   DeliveryFault           an attempt ended without a usable answer; carries its `Fault`
|     TransientFault        try again later
|     PermanentFault        will never work
|     DataFault             this lead cannot be sent as it is
|     ConfigurationFault    nothing will work until a person mends the settings
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from app.model import Fault


class LeadrelayError(Exception):
    """Base of all; `str()` of any of them is fit for a person and holds no personal data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """One thing wrong with an input: where (`field`, and `file`/`line` for configuration), what, and the remedy."""

    field: str
    detail: str
    remedy: str | None = None
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """One line: `file:line: field: detail (remedy)`."""
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        return f"{place}{self.field}: {self.detail}" + (f" ({self.remedy})" if self.remedy else "")


class InvalidInput(LeadrelayError):
    """An input that cannot be taken, with one `Complaint` for each thing wrong."""

    def __init__(self, complaints: Sequence[Complaint]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("; ".join(str(complaint) for complaint in self.complaints))


class InvalidLead(InvalidInput):
    """The fields of a lead cannot be taken."""


class InvalidConfig(InvalidInput):
    """A configuration cannot be taken; the running one stays."""


class InvalidTemplate(LeadrelayError):
    """A template, rule, path or regular expression that cannot be compiled."""


class NotFound(LeadrelayError):
    """The named thing does not exist."""


class Conflict(LeadrelayError):
    """The thing exists, but its state does not allow this."""


class Refused(LeadrelayError):
    """No key, an unknown key (`status` 401), or one without the scope (403)."""

    def __init__(self, message: str, *, status: int) -> None:
        self.status = status
        super().__init__(message)


class Unavailable(LeadrelayError):
    """A server of ours is out of reach; trying again later may work."""


class BrokerUnavailable(Unavailable):
    """The broker is out of reach; leads are taken all the same."""


class Outdated(Unavailable):
    """The ledger's tables are missing or older than this code; `leadrelay migrate` brings them up to it."""


class DeliveryFault(LeadrelayError):
    """An attempt that ended without a usable answer.

    `ambiguous`: the destination may have acted on it. `unsent`: nothing of the request has left this process.
    """

    fault: ClassVar[Fault]

    def __init__(
        self,
        reason: str,
        *,
        ambiguous: bool = False,
        unsent: bool = False,
        retry_after: float | None = None,
        transcript: Mapping[str, Any] | None = None,
    ) -> None:
        self.reason = reason
        self.ambiguous = ambiguous
        self.unsent = unsent
        self.retry_after = retry_after
        self.transcript = transcript
        super().__init__(reason)


class TransientFault(DeliveryFault):
    """Try again later."""

    fault = Fault.TRANSIENT


class PermanentFault(DeliveryFault):
    """Will never work."""

    fault = Fault.PERMANENT


class DataFault(DeliveryFault):
    """This lead cannot be sent as it is."""

    fault = Fault.DATA


class ConfigurationFault(DeliveryFault):
    """Nothing will work until a person mends the settings."""

    fault = Fault.CONFIGURATION
