"""Compressed answers opened, never further than asked for: a bomb costs no more than the answer it pretends to be."""

import zlib
from collections.abc import Callable, Mapping
from io import BytesIO

from app.errors import TransientFault

CODINGS = "gzip, deflate, br, zstd"
"""What is opened here, as an Accept-Encoding header (RFC 9110, 12.5.3)."""
_MOST_CODINGS = 3
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659: no server may ask for more


def decompressed(data: bytes, codings: str, *, at_most: int) -> bytes:
    """The first `at_most` bytes of what was compressed; `codings` is the Content-Encoding, the last one is opened first.

    A coding that is not known leaves the data as it is, an end that is missing is left out. Raises `TransientFault`
    (ambiguous) for data that is not what it says it is.
    """
    names = [name for coding in codings.split(",") if (name := coding.strip().lower()) not in {"", "identity"}]
    if len(names) > _MOST_CODINGS:
        raise TransientFault("the answer is compressed too many times over", ambiguous=True)
    for name in reversed(names):
        if name not in _OPENERS:
            break
        try:
            data = _OPENERS[name](data, at_most)
        except ValueError:
            raise TransientFault("the answer's compression is broken", ambiguous=True) from None
    return data


def _inflated(data: bytes, at_most: int) -> bytes:
    """The start of a gzip or zlib stream, or of a bare deflate one, which some servers mean (RFC 9110, 8.4.1.2)."""
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        try:
            return zlib.decompressobj(wbits=window).decompress(data, at_most)
        except zlib.error:
            continue
    raise ValueError


def _unbrotlied(data: bytes, at_most: int) -> bytes:
    import brotli  # noqa: PLC0415  # for the answers that need it

    stream = brotli.Decompressor()
    opened = bytearray()
    try:
        while len(opened) < at_most and not stream.is_finished():
            part = stream.process(data, output_buffer_limit=at_most - len(opened))
            opened += part
            if not part and stream.can_accept_more_data():
                break
            data = b""
    except brotli.error:
        raise ValueError from None
    return bytes(opened[:at_most])


def _unzstd(data: bytes, at_most: int) -> bytes:
    import zstandard  # noqa: PLC0415  # likewise

    stream = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).stream_reader(
        BytesIO(data), read_across_frames=True
    )
    opened = bytearray()
    try:
        while len(opened) < at_most and (part := stream.read(at_most - len(opened))):
            opened += part
    except zstandard.ZstdError:
        raise ValueError from None
    return bytes(opened)


_OPENERS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "gzip": _inflated,
    "x-gzip": _inflated,
    "deflate": _inflated,
    "br": _unbrotlied,
    "zstd": _unzstd,
}
