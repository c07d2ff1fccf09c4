"""What the style asks of every module and can be counted."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import connectors
from tests.house.tree import ROOT, modules, written

MODULE_LINES = 300
FUNCTION_LINES = 40
NAMELESS = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function's name and length, without its docstring."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if told else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


def test_modules_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    assert not {str(path): length for path, length in lengths.items() if length >= MODULE_LINES}


def test_functions_are_short() -> None:
    found = {f"{path}:{name}": length for path in modules() for name, length in _functions(path)}
    assert len(found) > 500
    assert not {place: length for place, length in found.items() if length >= FUNCTION_LINES}


def test_modules_are_named_for_what_they_are() -> None:
    assert not [str(path) for path in modules() if path.stem in NAMELESS]


@pytest.mark.parametrize("name", connectors.types())
def test_every_connector_has_a_test_and_a_page(name: str) -> None:
    assert (ROOT / f"tests/connectors/test_{name}.py").is_file()
    assert (ROOT / f"docs/connectors/{name}.md").is_file()
    assert "ConnectorContract)" in (ROOT / f"tests/connectors/test_{name}.py").read_text(encoding="utf-8")


def test_no_file_names_the_place_it_was_written_in() -> None:
    if len(ROOT.parts) < 3:
        pytest.skip("the repository lies too close to the root for its path to mean anything")
    place = str(ROOT).encode()
    assert not [str(path) for path in written() if place in path.read_bytes()]
