"""From YAML files to a checked `Document` that remembers which line each setting stands on.

One file a source or destination: `sources/NAME.yaml`, `destinations/NAME.yaml`; `schemas/` holds files that these name.
All complaints are collected and raised at once. What needs connectors, templates or rules to judge is judged by
`app.catalog`, with places asked of `Loaded`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from app.config.base import Strict
from app.config.complaints import complaints_of
from app.config.embedding import embed
from app.config.reference import mistakes
from app.config.schema import DestinationConfig, Document, SourceConfig
from app.config.suggestion import suggest
from app.config.yaml import parse
from app.errors import Complaint, InvalidConfig

M = TypeVar("M", bound=Strict)

_FOLDERS = {"sources": "source", "destinations": "destination"}
_SCHEMAS = "schemas"
"""Where files lie that destinations name."""
_SUFFIXES = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The file a source or destination came from, and the line of each of its settings by dotted path."""

    file: str
    lines: Mapping[str, int]

    def line(self, path: str) -> int | None:
        """The line of a setting, or of the closest one around it."""
        while path and path not in self.lines:
            path = path.rpartition(".")[0]
        return self.lines.get(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A checked configuration and, if it came from files, where everything in it stands."""

    document: Document
    origins: Mapping[tuple[str, str], Origin] = field(default_factory=dict)
    """(kind, name) -> origin; kind is `source` or `destination`."""

    def place(self, kind: str, name: str, path: str) -> tuple[str | None, int | None]:
        """File and line of a setting by its dotted path; None where not known."""
        origin = self.origins.get((kind, name))
        return (origin.file, origin.line(path)) if origin else (None, None)

    def complaint(self, kind: str, name: str, field: str, detail: str, remedy: str | None = None) -> Complaint:
        """A complaint about one setting of a source or destination, with its place."""
        file, line = self.place(kind, name, field)
        shown = field if file else f"{kind} {name}: {field}"
        return Complaint(field=shown, detail=detail, remedy=remedy, file=file, line=line)


def load_folder(folder: Path) -> Loaded:
    """Read and check a configuration folder; raises `InvalidConfig` with file, line, field and remedy of every mistake."""
    if not folder.is_dir():
        raise InvalidConfig([Complaint(field="folder", detail="there is no such folder", file=str(folder))])
    complaints = list(_strangers(folder))
    origins: dict[tuple[str, str], Origin] = {}
    sources = _load_kind(folder, "sources", SourceConfig, origins, complaints)
    destinations = _load_kind(folder, "destinations", DestinationConfig, origins, complaints)
    # A reference to a destination whose own file is broken is not a mistake of the source.
    names = {item.name for item in destinations} | {file.stem for file in _files(folder / "destinations")}
    loaded = Loaded(document=Document(sources=sources, destinations=destinations), origins=origins)
    complaints += _broken_references(loaded, names)
    if complaints:
        raise InvalidConfig(complaints)
    return loaded


def load_destination(path: Path) -> Loaded:
    """One destination's file, wherever it lies; a name in it may differ from the file's. Raises `InvalidConfig`."""
    config, origin = _load_file(path, DestinationConfig, any_name=True)
    return Loaded(document=Document(destinations=[config]), origins={("destination", config.name): origin})


def load_document(data: Any) -> Loaded:
    """Check a configuration that is data already (`{"sources": [...], "destinations": [...]}`); raises `InvalidConfig`."""
    try:
        document = Document.model_validate(data)
    except ValidationError as error:
        raise InvalidConfig(complaints_of(error, Document, data)) from None
    loaded = Loaded(document=document)
    complaints = [
        *_twins("source", [item.name for item in document.sources]),
        *_twins("destination", [item.name for item in document.destinations]),
        *_broken_references(loaded, {item.name for item in document.destinations}),
    ]
    if complaints:
        raise InvalidConfig(complaints)
    return loaded


def _load_kind(
    folder: Path,
    kind_folder: str,
    model: type[M],
    origins: dict[tuple[str, str], Origin],
    complaints: list[Complaint],
) -> list[M]:
    found: dict[str, M] = {}
    for path in _files(folder / kind_folder):
        if path.stem in found:
            complaints.append(Complaint(field="name", detail=f"another file defines '{path.stem}'", file=str(path)))
            continue
        try:
            found[path.stem], origins[_FOLDERS[kind_folder], path.stem] = _load_file(path, model)
        except InvalidConfig as invalid:
            complaints += invalid.complaints
    return list(found.values())


def _load_file(path: Path, model: type[M], *, any_name: bool = False) -> tuple[M, Origin]:
    file = str(path)
    try:
        parsed = parse(path.read_bytes(), file)
    except OSError as error:
        raise InvalidConfig([Complaint(field="file", detail=f"cannot be read: {error.strerror}", file=file)]) from None
    origin = Origin(file=file, lines={".".join(place): line for place, line in parsed.lines.items()})
    if not isinstance(parsed.value, dict):
        raise InvalidConfig([Complaint(field="file", detail="must be a mapping of settings", file=file, line=1)])
    data = embed({"name": path.stem, **parsed.value}, path, line=origin.line)
    if data["name"] != path.stem and not any_name:
        remedy = f"rename the file to {data['name']}{path.suffix}, or leave the name out"
        line = origin.line("name")
        raise InvalidConfig(
            [Complaint(field="name", detail="differs from the file's", remedy=remedy, file=file, line=line)]
        )
    try:
        return model.model_validate(data), origin
    except ValidationError as error:
        raise InvalidConfig(complaints_of(error, model, data, origin)) from None


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file() and not _hidden(path)
    )


def _strangers(folder: Path) -> Iterator[Complaint]:
    """What lies in the folder and is no configuration; hidden files and READMEs may."""
    for path in sorted(folder.iterdir()):
        if not (_hidden(path) or (path.is_dir() and path.name in {*_FOLDERS, _SCHEMAS})):
            remedy = suggest(path.name, _FOLDERS) if path.is_dir() else "put it in sources/ or destinations/"
            yield Complaint(field="folder", detail="is not known here", remedy=remedy, file=str(path))
    for kind_folder in _FOLDERS:
        inside = folder / kind_folder
        for path in sorted(inside.iterdir()) if inside.is_dir() else []:
            if not (_hidden(path) or (path.is_file() and path.suffix in _SUFFIXES)):
                remedy = "configuration files end in .yaml or .yml"
                yield Complaint(field="folder", detail="is not known here", remedy=remedy, file=str(path))


def _hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.stem == "README"


def _broken_references(loaded: Loaded, known: set[str]) -> Iterator[Complaint]:
    for mistake in mistakes(loaded.document, known):
        yield loaded.complaint(*mistake)


def _twins(kind: str, names: list[str]) -> Iterator[Complaint]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Complaint(field=f"{kind} {name}: name", detail=f"two {kind}s have this name", remedy="rename one")
