"""Templates in connection settings: what of an address or a header comes from the lead.

Found and compiled once per configuration version, rendered for every delivery of a destination that has any; the
connector puts the texts in their places and writes each in the way its place asks for. Pure: it knows no connector.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.config.base import SECRET_REFERENCE
from app.errors import Complaint, DataFault, InvalidConfig, InvalidTemplate
from app.templates import Slot, Template, compile_template, is_template, slots, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledSettings:
    """The templates in a destination's settings; used by many threads. `texts` holds them by their dotted places."""

    texts: Mapping[str, str]
    _templates: Mapping[Slot, tuple[str, Template]]

    def render(self, context: Mapping[str, Any]) -> dict[str, str]:
        """The text for each slot; raises `DataFault` naming the setting and the template, not the value."""
        rendered: dict[str, str] = {}
        for slot, (place, template) in self._templates.items():
            try:
                rendered[slot] = to_text(template.render(context))
            except DataFault as fault:
                raise DataFault(f"setting '{place}': {fault.reason}, in {slot[:120]}") from None
        return rendered


def compile_settings(settings: Mapping[str, Any], places: Sequence[str]) -> CompiledSettings | None:
    """Compile the templates at these places (dotted, `*` for any name), None if there are none.

    Raises `InvalidConfig` with a complaint for each setting that cannot be compiled, line and column of its text included.
    """
    patterns = [place.split(".") for place in places]
    texts = {
        ".".join(path): text
        for path, text in _texts(settings, ())
        if is_template(text) and any(_matches(path, pattern) for pattern in patterns)
    }
    templates: dict[Slot, tuple[str, Template]] = {}
    complaints = []
    for place, text in texts.items():
        try:
            compile_template(text)  # so that a complaint counts lines and columns from the beginning
            templates |= {slot: (place, _compiled(slot)) for slot in slots(text) if isinstance(slot, Slot)}
        except InvalidTemplate as invalid:
            complaints.append(Complaint(field=f"settings.{place}", detail=str(invalid)))
    if complaints:
        raise InvalidConfig(complaints)
    return CompiledSettings(texts=texts, _templates=templates) if templates else None


def _compiled(slot: Slot) -> Template:
    if SECRET_REFERENCE.search(slot):
        raise InvalidTemplate("a secret stands within {{ }} or in a text with tags: put it beside {{ }}, or use auth")
    return compile_template(slot)


def _matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    return len(path) == len(pattern) and all(wanted in {"*", name} for name, wanted in zip(path, pattern, strict=True))


def _texts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(inner, (*path, str(key)))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _texts(inner, (*path, str(place)))
