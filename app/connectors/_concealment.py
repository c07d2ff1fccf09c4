"""Secret values taken out of what is kept and shown of an exchange, wherever they stand.

Names tell most secrets (`app.redaction`); this knows values: a key under a harmless name, or one that a destination repeats in
its answer. One place for every connector type. It may not know settings or connections.
"""

import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus, unquote_plus

import msgspec

from app.errors import DeliveryFault
from app.model import Outcome
from app.redaction import MASK

LEAST_CHARACTERS = 6
"""A shorter value stands in too many places by chance: it is masked only where it is all of a header or query parameter."""
WORD_CHARACTERS = 16
"""A shorter value of letters or digits alone may be a word or a number: it is masked only where it stands alone."""
_CUT_CHARACTERS = 190
"""Texts of this length may have been cut, and a value with them: reasons at 200, bodies at 4,000 and more."""

A = TypeVar("A")
Conceal = Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is masked anywhere, and how that and all else begins in JSON: a look at that is enough for nearly all answers."""

    more: Collection[str]
    anywhere: Sequence[str]
    marks: Sequence[bytes]

    def may_be_in(self, told: Any) -> bool:
        try:
            content = msgspec.json.encode(told)
        except (TypeError, ValueError, RecursionError):  # UnicodeEncodeError is a ValueError
            return True
        return any(mark in content for mark in self.marks)


class Concealment:
    """The values of one destination's secrets."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = {part for value in values for part in (value, value.strip()) if part.strip() and _is_text(part)}
        self._anywhere = _longest_first(form for value in known if _is_telling(value) for form in _forms(value))
        words = [re.escape(one) for one in known if len(one) >= LEAST_CHARACTERS and not _is_telling(one)]
        self._words = re.compile(rf"(?<![^\W_])(?:{'|'.join(words)})(?![^\W_])") if words else None
        self._whole = {one for one in known if not _is_telling(one)}
        self._last = _Known(more=(), anywhere=self._anywhere, marks=_marks([*self._anywhere, *self._whole]))

    def of(self, answer: A, more: Collection[str] = ()) -> A:
        """An outcome or fault without the values, and without `more` of them; anything else, and what holds none, as it is.

        Captured data keeps words and numbers, which later steps need, and the reference what it is.
        """
        known = self._with(more)
        if not known.marks:
            return answer
        if isinstance(answer, Outcome):
            if not known.may_be_in([answer.reason, answer.captured, answer.transcript]):
                return answer
            return replace(
                answer,
                reason=self._text(answer.reason, known.anywhere) if answer.reason else answer.reason,
                captured=_walked(answer.captured, lambda text: _without(text, known.anywhere)),
                transcript=self._transcript(answer.transcript, known.anywhere),
            )
        if isinstance(answer, DeliveryFault):
            answer.reason = self._text(answer.reason, known.anywhere)
            answer.args = (answer.reason,)
            answer.transcript = self._transcript(answer.transcript, known.anywhere)
        return answer

    def _with(self, more: Collection[str]) -> "_Known":
        """All that is looked for now; `more` is mostly what it was the last time."""
        known = self._last
        if known.more != more:
            found = (form for one in more if _is_telling(one) for form in _forms(one))
            anywhere = _longest_first([*self._anywhere, *found])
            known = self._last = _Known(more=more, anywhere=anywhere, marks=_marks([*anywhere, *self._whole]))
        return known

    def _transcript(self, transcript: Mapping[str, Any] | None, anywhere: Collection[str]) -> Any:
        found = _walked(transcript, lambda text: self._text(text, anywhere))
        request = found.get("request") if self._whole and found else None
        return {**found, "request": self._request(request)} if isinstance(request, Mapping) else found

    def _request(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Words and numbers of any length masked where they are all of a header or parameter."""
        found = dict(request)
        if isinstance(headers := request.get("headers"), Mapping):
            found["headers"] = {name: MASK if value in self._whole else value for name, value in headers.items()}
        if isinstance(url := request.get("url"), str):
            start, mark, query = url.partition("?")
            found["url"] = start + mark + "&".join(map(self._parameter, query.split("&")))
        return found

    def _parameter(self, parameter: str) -> str:
        name, equals, value = parameter.partition("=")
        return f"{name}{equals}{MASK}" if equals and unquote_plus(value) in self._whole else parameter

    def _text(self, text: str, anywhere: Collection[str]) -> str:
        text = _without(text, anywhere)
        return self._words.sub(MASK, text) if self._words is not None else text


class Carried(threading.local):
    """The credentials made for the request that a thread last sent."""

    values: tuple[str, ...] = ()

    def put(self, headers: Iterable[str]) -> None:
        """The values of its headers; their scheme is no secret (`Bearer …`)."""
        self.values = tuple([value.partition(" ")[2] or value for value in headers])


def _is_telling(value: str) -> bool:
    """Whether a value is so long and odd that it stands nowhere by chance."""
    plain = value.isalpha() or value.isdecimal()
    return len(value) >= (WORD_CHARACTERS if plain else LEAST_CHARACTERS)


def _is_text(value: str) -> bool:
    """Whether it can be sent at all: an environment may hold bytes that are no UTF-8."""
    return value.encode(errors="replace").decode() == value


def _forms(value: str) -> set[str]:
    """A value as it is, in an address or form, in JSON and in JSON that JSON repeats, in XML and HTML."""
    in_json = _in_json(value)
    return {
        *(value, " ".join(value.split()), escape(value), escape(value, quote=False)),
        *(quote(value, safe=""), quote(value), quote_plus(value)),
        *(in_json, _in_json(in_json), in_json.replace("/", "\\/")),
    }


def _longest_first(values: Iterable[str]) -> tuple[str, ...]:
    """So that of a value within another nothing is left."""
    return tuple(sorted({*values}, key=len, reverse=True))


def _marks(values: Iterable[str]) -> list[bytes]:
    """How values begin where JSON holds them."""
    return [*{_in_json(value[:LEAST_CHARACTERS]).encode() for value in values}]


def _in_json(text: str) -> str:
    return msgspec.json.encode(text).decode()[1:-1]


def _without(text: str, values: Collection[str]) -> str:
    for value in values:
        if value in text:
            text = text.replace(value, MASK)
    if len(text) >= _CUT_CHARACTERS:
        for begun in _beginnings(text.removesuffix("…"), values):
            return begun + MASK
    return text


def _beginnings(text: str, values: Collection[str]) -> Iterator[str]:
    """The text before a value that it breaks off in."""
    for value in values:
        place = text.rfind(value[:LEAST_CHARACTERS])
        if place >= 0 and value.startswith(text[place:]):
            yield text[:place]


def _walked(value: Any, conceal: Conceal) -> Any:
    """The same value with its texts concealed, the names of objects too."""
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, Mapping):
        return {conceal(name): _walked(inner, conceal) for name, inner in value.items()}
    return [_walked(inner, conceal) for inner in value] if isinstance(value, list) else value
