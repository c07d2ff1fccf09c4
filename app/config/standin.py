"""Connection settings whose secrets nobody has to know: a stand-in for each reference, put back in what is shown.

So a request can be shown where the secrets are not: on an integrator's machine, in a review, over the API. Knows the
model that the settings belong to, nothing of connectors.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import BaseModel, ValidationError

from app.config.base import SECRET_REFERENCE
from app.errors import ConfigurationFault

M = TypeVar("M", bound=BaseModel)
Path = tuple[str, ...]

_NUMBER = "{number}"
_BYTES = "{number}0000000"
_KEYS: Mapping[str, Callable[[], rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey]] = {
    "{ec key}": lambda: ec.generate_private_key(ec.SECP256R1()),
    "{ec key of 384 bits}": lambda: ec.generate_private_key(ec.SECP384R1()),
    "{ec key of 521 bits}": lambda: ec.generate_private_key(ec.SECP521R1()),
    "{rsa key}": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
_SIGNING = f"whsec_{_NUMBER}{'0' * 27}"
_FORMS = (
    "{word}",
    "http://{word}.example",
    "{word}@{word}.example",
    _NUMBER,
    "/{word}",
    _BYTES,
    _SIGNING,
    *_KEYS,
    None,
)
"""What a setting may want, tried in turn: a word, an address, a mailbox, a number, a path, bytes in hex or base64, a
signing secret of webhooks, a private key, or nothing at all."""
_FIRST_NUMBER = 61_000
_ABSENT = object()


class StandIns:
    """Stand-ins for the references of one destination's settings."""

    def __init__(self) -> None:
        self._salt = secrets.token_hex(4)  # a lead's value must not be taken for one
        self._written: list[str] = []
        self._forms: dict[Path, int] = {}
        """Which form is tried where references stand."""

    def settings(self, model: type[M], settings: Mapping[str, Any]) -> M:
        """The settings, each reference replaced by a stand-in of a form that is taken there.

        Raises `ConfigurationFault` naming the setting where no form is: its value has to be known.
        """
        while True:
            try:
                return model.model_validate(self._filled(settings, ()))
            except ValidationError as error:
                self._try_next({tuple(str(part) for part in problem["loc"]) for problem in error.errors()})

    def put_back(self, value: Any) -> Any:
        """The same JSON-like value, with references as they are written where stand-ins are."""
        match value:
            case str():
                return self._put_back(value)
            case Mapping():
                return {self.put_back(name): self.put_back(inner) for name, inner in value.items()}
            case list():
                return [self.put_back(inner) for inner in value]
            case _:
                return value

    def _put_back(self, text: str) -> str:
        word = rf"ref(\d+)x{self._salt}"
        # A Host header: the stand-in's address is known, the real one's host is not.
        text = re.sub(
            rf"(?<![\w@/]){word}\.example",
            lambda found: f"host of {self._written[int(found[1])]}",
            text,
            flags=re.IGNORECASE,
        )
        for pattern in (rf"http://{word}\.example", rf"{word}(?:@ref\d+x{self._salt})?(?:\.example)?"):
            text = re.sub(pattern, lambda found: self._written[int(found[1])], text, flags=re.IGNORECASE)
        for place, written in enumerate(self._written):
            text = re.sub(rf"(?<=:){_FIRST_NUMBER + place}\b", written.replace("\\", r"\\"), text)
        return text

    def _filled(self, value: Any, path: Path) -> Any:
        match value:
            case str():
                return self._filled_text(value, path)
            case Mapping():
                inside = {name: self._filled(inner, (*path, str(name))) for name, inner in value.items()}
                return {name: inner for name, inner in inside.items() if inner is not _ABSENT}
            case list():
                listed = [self._filled(inner, (*path, str(place))) for place, inner in enumerate(value)]
                return [inner for inner in listed if inner is not _ABSENT]
            case _:
                return value

    def _filled_text(self, text: str, path: Path) -> Any:
        if not SECRET_REFERENCE.search(text):
            return text
        form = _FORMS[self._forms.setdefault(path, 0)]
        if form is None:
            return _ABSENT
        return SECRET_REFERENCE.sub(lambda found: self._stand_in(form, found), text)

    def _stand_in(self, form: str, found: re.Match[str]) -> str:
        if found[0] not in self._written:
            self._written.append(found[0])
        place = self._written.index(found[0])
        if found.string[: found.start()].endswith(":"):  # a port
            form = _NUMBER
        if form in _KEYS:  # shown nowhere, so it need not be told from others
            return _private_key(form)
        return form.format(word=f"ref{place}x{self._salt}", number=_FIRST_NUMBER + place)

    def _try_next(self, wrong: set[Path]) -> None:
        """Another form for the references at, above or below each place that was wrong, else for all of them."""
        near = {
            path for path in self._forms for place in wrong if all(a == b for a, b in zip(path, place, strict=False))
        }
        for path in near or self._forms:
            self._forms[path] += 1
        if not self._forms or any(form == len(_FORMS) for form in self._forms.values()):
            names = ", ".join(sorted(f"settings.{'.'.join(path)}" for path in near) or ["settings"])
            raise ConfigurationFault(f"{names}: nothing can be shown without the values of the references there")


@cache
def _private_key(form: str) -> str:
    return _KEYS[form]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


__all__ = ["StandIns"]
