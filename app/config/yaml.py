"""YAML as configuration wants it: JSON values, and the line each stands on.

Stricter than YAML 1.1 on purpose: `NO` is a state and not false, `02134` a postal code and not a number, a key stands once.
Depth, size and aliases are bounded. Knows nothing of sources or destinations.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from app.errors import Complaint, InvalidConfig

MAX_BYTES = 1_048_576
MAX_DEPTH = 32
MAX_VALUES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How large a document may be: bytes, levels, and values with aliases counted in full."""

    bytes: int = MAX_BYTES
    depth: int = MAX_DEPTH
    values: int = MAX_VALUES


Path = tuple[str, ...]

_TAG = "tag:yaml.org,2002:"
_NULL = re.compile(r"|~|null|Null|NULL")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+]?[0-9]{1,2})?")
_MERGE_TAG = f"{_TAG}merge"
_TEXT_TAG = f"{_TAG}str"
_PLAIN_TAGS = frozenset({f"{_TAG}{name}" for name in ("null", "bool", "int", "float", "timestamp", "value", "merge")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The value of a file and where its parts stand: path from the top -> line, counted from 1."""

    value: Any
    lines: Mapping[Path, int]


def parse(content: bytes, file: str, bounds: Bounds = Bounds()) -> Parsed:
    """Read one YAML document; raises `InvalidConfig` with file and line."""
    if len(content) > bounds.bytes:
        raise _invalid(file, None, f"longer than {bounds.bytes} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid(file, content.count(b"\n", 0, error.start) + 1, "is not UTF-8") from None
    try:
        _check_depth(text, file, bounds.depth)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(
            file, mark.line + 1 if mark else None, f"is not YAML: {error.problem or error.context}"
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _invalid(file, line, "has a character that YAML does not allow") from None
    return _Reader(file, bounds).read(node)


def _check_depth(text: str, file: str, most: int) -> None:
    # Before composing: libyaml's composer recurses in C.
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > most:
                raise _invalid(file, _line(event), f"is nested more than {most} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Reader:
    """Turns nodes into values, noting lines; counts what aliases expand to."""

    def __init__(self, file: str, bounds: Bounds) -> None:
        self._file = file
        self._bounds = bounds
        self._lines: dict[Path, int] = {}
        self._count = 0

    def read(self, node: yaml.Node | None) -> Parsed:
        return Parsed(value=None if node is None else self._value(node, (), self._bounds.depth), lines=self._lines)

    def _value(self, node: yaml.Node, path: Path, depth: int) -> Any:
        self._count += 1
        if self._count > self._bounds.values or depth < 0:
            most = f"{self._bounds.values} values or {self._bounds.depth} levels"
            raise self._problem(node, f"has more than {most}, aliases counted in full")
        self._lines.setdefault(path, node.start_mark.line + 1)
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, path, depth)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self._value(item, (*path, str(place)), depth - 1) for place, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node)
        raise self._problem(node, f"has the tag {node.tag}, which configuration does not use")

    def _mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            if key_node.tag == _MERGE_TAG:
                for mapping in self._merged(value_node):
                    merged = self._value(mapping, path, depth - 1) | merged
                continue
            if key in own:
                raise self._problem(key_node, f"the key '{key}' stands twice")
            # The key's line is where one looks; it replaces that of a merged value.
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            own[key] = self._value(value_node, (*path, key), depth - 1)
        return merged | own

    def _merged(self, node: yaml.Node) -> Iterator[yaml.MappingNode]:
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(item, yaml.MappingNode):
                raise self._problem(node, "'<<' takes a mapping or a list of mappings")
            yield item

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._problem(node, "a key must be text")
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text = str(node.value)
        if node.tag == _TEXT_TAG:
            return text
        if node.tag not in _PLAIN_TAGS:
            raise self._problem(node, f"has the tag {node.tag}, which configuration does not use")
        if _NULL.fullmatch(text):
            return None
        if _BOOLEAN.fullmatch(text):
            return text.lower() == "true"
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if _DECIMAL.fullmatch(text) else text

    def _problem(self, node: yaml.Node, detail: str) -> InvalidConfig:
        return _invalid(self._file, _line(node), detail)


def _line(marked: yaml.Node | yaml.Event) -> int | None:
    return marked.start_mark.line + 1 if marked.start_mark else None


def _invalid(file: str, line: int | None, detail: str) -> InvalidConfig:
    return InvalidConfig([Complaint(field="file", detail=detail, file=file, line=line)])
