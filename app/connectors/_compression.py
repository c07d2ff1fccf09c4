"""Compressed answers opened, never further than asked for: a bomb costs no more than the answer it pretends to be."""

import zlib
from collections.abc import Callable, Mapping
from io import BytesIO

from app.errors import TransientFault

CODINGS = "gzip, deflate, br, zstd"
"""What is opened here, as an Accept-Encoding header (RFC 9110, 12.5.3)."""
_MOST_CODINGS = 3
_MOST_MEMBERS = 1000
_GZIP = b"\x1f\x8b"
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659: no server may ask for more


def decompressed(data: bytes, codings: str, *, at_most: int, is_cut: bool = False) -> bytes:
    """The first `at_most` bytes of what was compressed; `codings` is the Content-Encoding, the last one is opened first.

    A coding that is not known leaves the data as it is. Raises `TransientFault` (ambiguous) for data that is not what it says
    it is, and for data without its end unless `is_cut` says that this was left out on purpose.
    """
    names = [name for coding in codings.split(",") if (name := coding.strip().lower()) not in {"", "identity"}]
    if len(names) > _MOST_CODINGS:
        raise TransientFault("the answer is compressed too many times over", ambiguous=True)
    for name in reversed(names):
        if name not in _OPENERS:
            break
        try:
            data, is_whole = _OPENERS[name](data, at_most)
        except ValueError:
            raise TransientFault("the answer's compression is broken", ambiguous=True) from None
        if not (is_whole or is_cut):
            raise TransientFault("the answer's compressed body ends in the middle", ambiguous=True)
        is_cut = is_cut or len(data) >= at_most  # what is compressed twice may end for that
    return data


def _inflated(data: bytes, at_most: int) -> tuple[bytes, bool]:
    """The start of a gzip or zlib stream, or of a bare deflate one, which some servers mean (RFC 9110, 8.4.1.2)."""
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        try:
            return _members(data, at_most, window)
        except zlib.error:
            continue
    raise ValueError


def _members(data: bytes, at_most: int, window: int) -> tuple[bytes, bool]:
    """What the members of a gzip stream hold together (RFC 1952, 2.2); what follows the last one is left alone, as gzip does."""
    opened = b""
    for _ in range(_MOST_MEMBERS):
        stream = zlib.decompressobj(wbits=window)
        opened += stream.decompress(data, at_most - len(opened))
        data = stream.unused_data
        if len(opened) >= at_most:
            return opened, True
        if not stream.eof:
            return opened, False
        if window < 0 or not data or not (data.startswith(_GZIP) or _GZIP.startswith(data)):
            return opened, True
    raise ValueError


def _unbrotlied(data: bytes, at_most: int) -> tuple[bytes, bool]:
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
    return bytes(opened[:at_most]), stream.is_finished() or len(opened) >= at_most


def _unzstd(data: bytes, at_most: int) -> tuple[bytes, bool]:
    import zstandard  # noqa: PLC0415  # likewise

    opener = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream = opener.stream_reader(BytesIO(data), read_across_frames=True)
    opened = bytearray()
    try:
        while len(opened) < at_most and (part := stream.read(at_most - len(opened))):
            opened += part
        if len(opened) >= at_most:
            return bytes(opened), True
        for _ in range(_MOST_MEMBERS):  # only this tells whether a frame ended, and by now that it holds no bomb
            frame = opener.decompressobj()
            frame.decompress(data)
            data = frame.unused_data
            if not (frame.eof and data):
                return bytes(opened), frame.eof
    except zstandard.ZstdError:
        raise ValueError from None
    raise ValueError


_OPENERS: Mapping[str, Callable[[bytes, int], tuple[bytes, bool]]] = {
    "gzip": _inflated,
    "x-gzip": _inflated,
    "deflate": _inflated,
    "br": _unbrotlied,
    "zstd": _unzstd,
}
