"""Compressed bodies: what they hold comes out, and bombs do not go off."""

import gzip
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.connectors._compression import decompressed
from app.errors import TransientFault

CAP = 2_000_001
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", CODINGS)
@given(data=st.binary(max_size=5000))
def test_what_was_compressed_comes_out(coding: str, data: bytes) -> None:
    assert decompressed(CODINGS[coding](data), coding.upper(), at_most=CAP) == data


@pytest.mark.parametrize("coding", CODINGS)
@given(data=st.binary(max_size=300), at_most=st.integers(min_value=1, max_value=50))
def test_nonsense_is_a_fault_or_bounded(coding: str, data: bytes, at_most: int) -> None:
    whole = CODINGS[coding](b"0" * 200)
    for sent in (data, whole[: len(data)], whole[:5] + data):
        try:
            assert len(decompressed(sent, coding, at_most=at_most)) <= at_most
        except TransientFault as fault:
            assert fault.ambiguous  # noqa: PT017  # nonsense may also be read as the start of something


def test_codings_are_opened_last_first_and_unknown_ones_are_left() -> None:
    assert decompressed(brotli.compress(gzip.compress(b"plain")), "gzip, br", at_most=CAP) == b"plain"
    assert decompressed(b"plain", "identity", at_most=CAP) == b"plain"
    assert decompressed(gzip.compress(b"plain"), "gzip, identity,", at_most=CAP) == b"plain"
    assert decompressed(b"plain", "aws-chunked", at_most=CAP) == b"plain"
    with pytest.raises(TransientFault, match="too many times"):
        decompressed(b"x", "gzip, gzip, gzip, gzip", at_most=CAP)


def test_several_zstd_frames_are_one_body() -> None:
    assert decompressed(CODINGS["zstd"](b"a") + CODINGS["zstd"](b"b"), "zstd", at_most=CAP) == b"ab"


def test_all_members_of_a_gzip_stream_are_one_body_and_padding_is_none_of_it() -> None:
    members = [gzip.compress(part) for part in (b'{"outcome": ', b"", b'"accepted"}')]
    for padding in (b"", b"\0" * 512, b"junk"):
        assert decompressed(b"".join(members) + padding, "gzip", at_most=CAP) == b'{"outcome": "accepted"}'
    assert decompressed(b"".join(members), "gzip", at_most=13) == b'{"outcome": "'
    with pytest.raises(TransientFault, match="broken"):
        decompressed(gzip.compress(b"") * 100_000, "gzip", at_most=CAP)


@given(data=st.lists(st.binary(max_size=500), min_size=1, max_size=4), cut=st.integers(min_value=1, max_value=15))
def test_gzip_stream_is_whole_or_a_fault(data: list[bytes], cut: int) -> None:
    members = [gzip.compress(part) for part in data]
    assert decompressed(b"".join(members), "gzip", at_most=CAP) == b"".join(data)
    with pytest.raises(TransientFault):
        decompressed(b"".join(members)[:-cut], "gzip", at_most=CAP)


@pytest.mark.parametrize("coding", CODINGS)
def test_stream_that_is_cut_is_ambiguous_unless_it_was_us(coding: str) -> None:
    whole = CODINGS[coding](bytes(range(256)) * 50)
    for cut in (1, 5, len(whole) // 2):
        with pytest.raises(TransientFault, match="ends in the middle") as caught:
            decompressed(whole[:-cut], coding, at_most=CAP)
        assert caught.value.ambiguous
        decompressed(whole[:-cut], coding, at_most=CAP, is_cut=True)
    assert decompressed(whole, coding, at_most=100) == (bytes(range(256)) * 50)[:100]
    twice = CODINGS[coding](whole)
    assert decompressed(twice, f"{coding}, {coding}", at_most=CAP) == bytes(range(256)) * 50
    decompressed(twice, f"{coding}, {coding}", at_most=len(whole) - 2)  # the outer one was cut by us


def test_zstd_that_wants_a_huge_window_is_a_fault() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(TransientFault, match="broken"):
        decompressed(stream.compress(b"0" * 1000) + stream.flush(), "zstd", at_most=CAP)


PROGRAM = """
import resource, sys
import brotli, zstandard
from app.connectors._compression import decompressed
data = open(sys.argv[2], "rb").read()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 48_000_000, used + 48_000_000))
print(len(decompressed(data, sys.argv[1], at_most=2_000_001)))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to bound memory")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_bomb_of_200_megabytes_costs_no_memory(coding: str, tmp_path: Path) -> None:
    bomb = b"0" * 200_000_000
    for one in coding.split(", "):
        bomb = CODINGS[one](bomb)
    assert len(bomb) < 1_000_000
    (tmp_path / "bomb").write_bytes(bomb)
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, coding, str(tmp_path / "bomb")], capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.stderr) == ("2000001", "")
