"""How long an XPath may take on a document, told before it is evaluated: nothing can interrupt it then.

lxml gives no way to bound the evaluation, and a thread cannot be stopped. What makes an expression slow are axes that
reach far from each of many nodes, and sets of nodes joined without doubles; both can be seen in its text. The figures
are upper bounds, measured with libxml2 2.14 (docs/connectors/http.md says what they mean for users). It may not know
answers or rules.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

MOST_NANOSECONDS = 1_000_000_000
_PER_NODE = 10
_PER_CHARACTER = 1
_MERGE = 0.25
"""Nanoseconds to compare a node with one of a set that it joins."""

_TOKEN = re.compile(r""""[^"]*"|'[^']*'|::|//|\.\.|[!<>]=|\d+(?:\.\d*)?|[^\W\d][\w.-]*(?::(?!:)[\w*][\w.-]*)?|\S""")
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})
_STARTS = frozenset({"", "(", ",", "[", "|", "+", "-", *_COMPARISONS})
"""What stands before a path: "" is the beginning. Words such as `and` are none, for they may be names."""
_REACH = {
    "descendant": "depth",
    "descendant-or-self": "depth",
    "ancestor": "depth",
    "ancestor-or-self": "depth",
    "parent": "breadth",
    "following-sibling": "breadth",
    "preceding-sibling": "breadth",
    "following": "nodes",
    "preceding": "nodes",
    "namespace": "nodes",
}
"""How many nodes lie on an axis, at most. Of the other axes each node lies on one node's only."""
_SIDEWAYS = frozenset({"following-sibling", "preceding-sibling", "following", "preceding"})
_LONG_SEARCHES = frozenset({"contains", "substring-before", "substring-after", "translate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a document: nodes of all kinds, levels, most children of one element, characters."""

    nodes: int
    depth: int
    breadth: int
    characters: int


@dataclass(slots=True)
class _Level:
    """What an expression, or one predicate, does for each node it is evaluated for."""

    reaches: set[str] = field(default_factory=set)
    again: int = 0
    searches: int = 0
    merges: int = 0
    inner: list["_Level"] = field(default_factory=list)

    def times(self, size: Size) -> float:
        own = max([getattr(size, reach) for reach in self.reaches], default=1)
        own *= size.nodes**self.again * size.characters**self.searches
        return float(own * max([level.times(size) for level in self.inner], default=1))

    def is_linear(self) -> bool:
        return not (self.reaches or self.again or self.searches or self.merges) and all(
            level.is_linear() for level in self.inner
        )


class Cost:
    """How long one expression takes."""

    __slots__ = ("_is_linear", "_top")

    def __init__(self, expression: str) -> None:
        self._top = _read(expression)
        self._is_linear = self._top.is_linear()

    def is_bearable(self, root: etree._Element, characters: int) -> bool:
        """Whether it ends within about a second, on a document that was so many characters long."""
        return self._is_linear or self.nanoseconds(size_of(root, characters)) <= MOST_NANOSECONDS

    def nanoseconds(self, size: Size) -> float:
        """At most so long, roughly; 0 for what takes no longer than reading the document."""
        if self._is_linear:
            return 0
        spent = self._top.times(size) * (_PER_NODE * size.nodes + _PER_CHARACTER * size.characters)
        if self._top.merges:
            reach = max([getattr(size, name) for name in self._top.reaches], default=1)
            spent += self._top.merges * size.nodes**2 * (1 + _MERGE * reach)
        return spent


def size_of(root: etree._Element, characters: int) -> Size:
    """Count a document, in time linear in it."""
    counted: Any = _count(root)  # the stubs of lxml know only that it may be anything
    nodes = int(counted)
    depth = breadth = 0
    children = [0]
    for event, _ in etree.iterwalk(root, events=("start", "end", "start-ns")):
        if event == "start-ns":
            nodes += 1
        elif event == "start":
            children[-1] += 1
            children.append(0)
            depth = max(depth, len(children))
        else:
            breadth = max(breadth, children.pop())
    return Size(nodes=nodes, depth=depth, breadth=breadth, characters=characters)


def _read(expression: str) -> _Level:
    tokens = ["", *_TOKEN.findall(expression), "", ""]
    levels = [_Level()]
    for place in range(1, len(tokens) - 2):
        token = tokens[place]
        if token == "[":  # noqa: S105  # a token of XPath
            levels.append(_Level())
        elif token == "]" and len(levels) > 1:  # noqa: S105  # as above
            closed = levels.pop()
            levels[-1].inner.append(closed)
        else:
            _take(levels[-1], tokens, place, is_predicate=len(levels) > 1)
    return levels[0]


def _take(level: _Level, tokens: Sequence[str], place: int, *, is_predicate: bool) -> None:
    before, token, after = tokens[place - 1], tokens[place], tokens[place + 1]
    is_first = before not in {"/", "//"}
    if token in {"/", "//"} and before in _STARTS:  # from the root
        if is_predicate:
            level.reaches.add("nodes")
    elif token == "//":  # noqa: S105  # as above
        is_first = before == "." and tokens[place - 2] in _STARTS
        _step(level, "descendant", is_first=is_first, is_predicate=is_predicate)
    elif token == ".." or (after == "::" and token in _REACH):  # noqa: S105  # as above
        _step(level, "parent" if token == ".." else token, is_first=is_first, is_predicate=is_predicate)  # noqa: S105  # as above
    elif token == "|":  # noqa: S105  # as above
        level.merges += 1
        level.again += is_predicate
    else:
        _join(level, tokens, place)


def _join(level: _Level, tokens: Sequence[str], place: int) -> None:
    token, after = tokens[place], tokens[place + 1]
    if token in _COMPARISONS:
        level.again += not (_is_single(tokens, place - 1, -1) or _is_single(tokens, place + 1, 1))
    elif after == "(" and token == "id":  # noqa: S105  # as above
        level.again += 1
    elif after == "(" and token in _LONG_SEARCHES:
        level.searches += not _holds_literal(tokens, place + 1)


def _step(level: _Level, axis: str, *, is_first: bool, is_predicate: bool) -> None:
    if is_first and not is_predicate and axis != "namespace":  # from one node
        return
    if is_predicate and not is_first:  # from each of many, for each of many
        level.reaches.add("nodes")
        level.again += axis in _SIDEWAYS
        return
    level.merges += 1
    if axis != "parent" or is_predicate:
        level.reaches.add(_REACH[axis])


def _is_single(tokens: Sequence[str], place: int, way: int) -> bool:
    """Whether what is compared is one value: a literal, a number, `.` or one attribute."""
    token, further = tokens[place], tokens[place + way]
    if token[:1] in {'"', "'"} or token[:1].isdigit():
        return True
    if token == ".":  # noqa: S105  # as above
        return further not in {"/", "//"}
    name, mark, outside = (token, further, tokens[place - 2]) if way < 0 else (further, token, "")
    return mark == "@" and name != "*" and outside not in {"/", "//"}


def _holds_literal(tokens: Sequence[str], place: int) -> bool:
    """Whether a text of the expression's own stands among the arguments of the call that opens there."""
    open_ones = 0
    for token in tokens[place:]:
        open_ones += (token == "(") - (token == ")")  # noqa: S105  # as above
        if open_ones == 0:
            return False
        if open_ones == 1 and token[:1] in {'"', "'"}:
            return True
    return False


_count = etree.XPath("count(//node()) + count(//@*)")
