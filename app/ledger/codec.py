"""How leads and transcripts are stored: the one door between values and bytes.

Every payload that may hold personal data passes here on its way in and out of the ledger, together with the id of its row,
so that encryption at rest can bind a ciphertext to its row without any caller changing. The first byte names the form.
"""

import zlib
from typing import Any
from uuid import UUID

import msgspec

_PLAIN = b"j"
_PACKED = b"z"
_WORTH_PACKING_BYTES = 600

_encoder = msgspec.json.Encoder(enc_hook=str)  # what a driver answered may be of any type; its text is worth keeping
_decoder = msgspec.json.Decoder()


def encode(value: Any, *, row: UUID) -> bytes:  # noqa: ARG001  # encryption will bind to the row
    """JSON-able values (also datetime, Decimal, UUID, as text) to bytes; long ones are packed by zlib."""
    text = _encoder.encode(value)
    if len(text) < _WORTH_PACKING_BYTES:
        return _PLAIN + text
    return _PACKED + zlib.compress(text, 1)


def decode(stored: bytes, *, row: UUID) -> Any:  # noqa: ARG001  # encryption will bind to the row
    """What `encode` was given; raises `ValueError` for a form this version does not know."""
    form, body = stored[:1], stored[1:]
    if form == _PLAIN:
        return _decoder.decode(body)
    if form == _PACKED:
        try:
            return _decoder.decode(zlib.decompress(body))
        except zlib.error:
            raise ValueError("what is stored is damaged") from None
    raise ValueError("stored in a form this version does not know")
