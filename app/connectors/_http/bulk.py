"""Several leads in one request: their payloads as an array, one key for them all, and what the answer says of each.

It joins items to one that stands for them, and parts what came of it. It may not know how that one is sent, nor what the
response rules are.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import msgspec

from app.connectors._http.batch import BatchSettings
from app.connectors._http.body import encode_json
from app.connectors._http.request import SHOWN_BYTES, RequestTemplate
from app.connectors._parsing import Path, parse
from app.connectors._response import Interpreter, ResponseRules
from app.connectors.base import Sent, Unbegun
from app.errors import DataFault, DeliveryFault
from app.model import Fault, Item, Outcome, Result

_JSON = "application/json"
_STATUS = ResponseRules(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Several(Outcome):
    """What one answer says of several leads, `each` in its turn; as a whole it is an error if one of them is."""

    each: Sequence[Outcome]


class Batch:
    """Joins leads to requests and parts the answers."""

    def __init__(self, settings: BatchSettings, request: RequestTemplate) -> None:
        self._size = settings.size
        self._property = settings.property.split(".") if settings.property else None
        self._request = request

    def deliver_many(self, items: Sequence[Item], send: Callable[[Sequence[Item]], Sequence[Sent]]) -> list[Sent]:
        """One `Sent` for each item, in order; `send` takes those that stand for several and answers likewise.

        A lead that cannot be written fails alone. A request holds test leads or others, for its mark is one for all.
        """
        sent = [Sent(answer=Unbegun())] * len(items)
        fit: dict[bool, list[int]] = defaultdict(list)
        for place, item in enumerate(items):
            try:
                encode_json(item.payload)
            except DataFault as fault:
                sent[place] = Sent(answer=fault)
            else:
                fit[item.test].append(place)
        groups = [
            places[start : start + self._size] for places in fit.values() for start in range(0, len(places), self._size)
        ]
        joined = [self.joined([items[place] for place in group]) for group in groups]
        for group, one in zip(groups, send(joined), strict=True):
            for index, place in enumerate(group):
                sent[place] = replace(one, answer=self._own(one.answer, items[place], index, len(group)))
        return sent

    def joined(self, items: Sequence[Item]) -> Item:
        """The item that stands for these. Its key is made of theirs alone, so the same leads have the same key again."""
        payload: Any = [item.payload for item in items]
        if self._property is None:  # as the encoder of arrays takes them: by their places
            payload = {str(place): one for place, one in enumerate(payload)}
        for name in reversed(self._property or ()):
            payload = {name: payload}
        return Item(
            payload=payload,
            key=request_key([item.key for item in items]),
            attempt=max(item.attempt for item in items),
            deadline=min(item.deadline for item in items),
            test=items[0].test,
        )

    def _own(self, answer: Outcome | Exception | Unbegun, item: Item, index: int, count: int) -> Any:
        """What came of a request for one of its leads, with a transcript that holds nothing of the others'."""
        if not isinstance(answer, Outcome | DeliveryFault):
            return answer
        own = said(answer, index, count) if isinstance(answer, Outcome) else answer
        told = own.transcript
        if told is not None and "request" in told:  # nothing was sent where there is no token
            alone = self.joined([item])
            body = self._request.shown(alone, self._request.content(alone))["body"]
            request = {**told["request"], "body": body}
            told = {**told, "request": request, "batch": {"leads": count, "index": index}}
        if isinstance(own, Outcome):
            return replace(own, transcript=told)
        own = copy(own)
        own.transcript = told
        return own


class BatchRules:
    """Response rules that read each element of an array in the answer: the one at `results`, a dotted path."""

    def __init__(self, rules: Interpreter, results: str, size: int) -> None:
        self._rules = rules
        self._size = size
        self._results = results
        self._path = Path(results, format="json")

    def interpret(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        transcript: Mapping[str, Any] | None = None,
        *,
        truncated: bool = False,
    ) -> Outcome:
        """What an answer means for each lead of its request; one outcome for all where the status or the whole says it.

        A 2xx without the array is no usable answer: the destination may have the leads. Any other status without it was
        said of the request.
        """
        told = _STATUS.interpret(status, headers, b"", transcript)
        if told.fault is not None:
            return told
        found = self._elements(headers, body)
        if found is None and status >= 300:  # noqa: PLR2004  # the classes of RFC 9110, 15
            return self._rules.interpret(status, headers, body, transcript, truncated=truncated)
        if found is None:
            why = "is too long to be read whole" if truncated else f"has no array at {self._results}"
            return _unusable(f"the answer {why}", transcript)
        if len(found) > self._size:  # not worth reading: whose they are cannot be known
            return _miscounted(f"the answer has {len(found)} results, a request at most {self._size} leads", transcript)
        each = [self._element(status, headers, element, transcript) for element in found]
        fault = next((one.fault for one in each if one.fault is not None), None)
        result = Result.ERROR if fault is not None else Result.SUCCESS
        return Several(result=result, fault=fault, transcript=transcript, each=each)

    def _elements(self, headers: Mapping[str, str], body: bytes) -> list[Any] | None:
        values = self._path.values(parse(body, headers.get("content-type", ""), format="json"))
        found = list(values) if "*" in self._results.split(".") else next(iter(values), None)
        return found if isinstance(found, list) else None

    def _element(
        self, status: int, headers: Mapping[str, str], element: Any, transcript: Mapping[str, Any] | None
    ) -> Outcome:
        body = msgspec.json.encode(element)
        if transcript is not None:
            shown = {**transcript["response"], "body": body[:SHOWN_BYTES].decode(errors="replace")}
            transcript = {**transcript, "response": shown}
        return self._rules.interpret(status, {**headers, "content-type": _JSON}, body, transcript)


def for_each(rules: Interpreter, batch: BatchSettings | None) -> Interpreter:
    """The rules, or those that read an element for each lead where a batch has results."""
    return rules if batch is None or batch.results is None else BatchRules(rules, batch.results, batch.size)


def said(outcome: Outcome, index: int, count: int) -> Outcome:
    """What an outcome says of one lead of those in the request."""
    if not isinstance(outcome, Several):
        return outcome
    if len(outcome.each) != count:
        return _miscounted(f"the answer has {len(outcome.each)} results for {count} leads", outcome.transcript)
    own = replace(outcome.each[index], quota=outcome.quota)
    return replace(own, ambiguous=True) if outcome.ambiguous and own.fault is not None else own


def request_key(keys: Sequence[str]) -> str:
    """The idempotency key of a request for several leads: SHA-256 over their sorted keys, in hexadecimal."""
    return sha256("\n".join(sorted(keys)).encode()).hexdigest()


def _miscounted(reason: str, transcript: Mapping[str, Any] | None) -> Outcome:
    """Whose the results are cannot be known, so nobody's transcript holds them."""
    if transcript is not None:
        response = {name: value for name, value in transcript["response"].items() if name != "body"}
        transcript = {**transcript, "response": response}
    return _unusable(reason, transcript)


def _unusable(reason: str, transcript: Mapping[str, Any] | None) -> Outcome:
    return Outcome(result=Result.ERROR, fault=Fault.TRANSIENT, reason=reason, ambiguous=True, transcript=transcript)
