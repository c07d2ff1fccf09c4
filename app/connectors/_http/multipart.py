"""Mapped properties as multipart/form-data (RFC 7578), files among them.

Pure. What cannot be written is a `DataFault` that names the property, never its value.
"""

from base64 import b64decode
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from app.connectors._http.filling import fill
from app.connectors._http.scalar import flat, to_text
from app.connectors._http.settings import FilePart
from app.errors import DataFault
from app.templates import slots

BOUNDARY = f"leadrelay-{token_hex(16)}"
"""One for the process; no lead can know it."""

# WHATWG, multipart/form-data encoding algorithm: names in quotes, which percent signs keep whole.
_NAME = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_BLANKS = str.maketrans("", "", " \t\r\n")


class MultipartWriter:
    """Writes each property as a part; those named in `files` as files."""

    def __init__(self, files: Mapping[str, FilePart]) -> None:
        self._files = {name: (file, slots(file.filename)) for name, file in files.items()}

    def encode(self, payload: Mapping[str, Any], rendered: Mapping[str, str]) -> bytes:
        """The body; names are dotted, a list repeats its name, an empty file is left out."""
        body = bytearray()
        for name, value in flat(payload):
            head, content = f'Content-Disposition: form-data; name="{name.translate(_NAME)}"', to_text(value, name)
            try:
                if name in self._files:
                    file, filename = self._files[name]
                    if not content:
                        continue
                    shown = fill(filename, rendered, f"files.{name}.filename").translate(_NAME)
                    head += f'; filename="{shown}"\r\nContent-Type: {file.content_type}'
                    data = _decoded(content, name) if file.encoding == "base64" else content.encode()
                else:
                    data = content.encode()
                head_bytes = f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode()
            except UnicodeEncodeError:
                raise DataFault(f"property {name} cannot be written as a part of a form") from None
            if BOUNDARY.encode() in data:
                raise DataFault(f"property {name} holds the line that ends a part")
            body += head_bytes + data + b"\r\n"
        return bytes(body) + f"--{BOUNDARY}--\r\n".encode()


def _decoded(text: str, name: str) -> bytes:
    try:
        return b64decode(text.translate(_BLANKS), validate=True)
    except ValueError:  # characters beyond ASCII among them
        raise DataFault(f"property {name} is not base64: correct it, or set files.{name}.encoding to text") from None
