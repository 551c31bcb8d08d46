"""Logs in files that bzip2 or zstd has compressed."""

from __future__ import annotations

import bz2
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("capnp")

from mmapbuilder import open_log
from support import processes
from support.events import EVENT, check, frame, index_of, write

N = 3000
MIB = 1 << 20


def _zstd(data: bytes) -> bytes:
    if sys.version_info >= (3, 14):
        packed: bytes = pytest.importorskip("compression.zstd").compress(data)
    else:
        packed = pytest.importorskip("zstandard").ZstdCompressor().compress(data)
    return packed


@pytest.mark.parametrize("pack", [bz2.compress, _zstd])
def test_compressed_logs_are_unpacked(target: Path, pack: object) -> None:
    frames = write(target, range(N))
    data = target.read_bytes()
    half = len(b"".join(frames[:1000]))
    target.write_bytes(pack(data[:half]) + pack(data[half:]))  # type: ignore[operator]
    with open_log(target, EVENT.schema) as log:
        assert len(log) == N
        check(log[N - 1], N - 1)
        assert log.refresh() == N
    assert not index_of(target).exists()


@pytest.mark.slow
def test_a_compressed_log_that_ends_early_is_read_as_far_as_it_goes(target: Path) -> None:
    write(target, range(100_000))
    packed = bz2.compress(target.read_bytes())
    target.write_bytes(packed[: len(packed) // 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        log = open_log(target, EVENT.schema)
    assert 0 < len(log) < 100_000
    check(log[-1], len(log) - 1)


@pytest.mark.parametrize("pack", [bz2.compress, _zstd])
@pytest.mark.parametrize("lost", [1, 4, 40, 400])
def test_a_compressed_log_that_ends_early_warns_also_where_no_message_is_torn(
    target: Path, pack: Callable[[bytes], bytes], lost: int
) -> None:
    first, second = (pack(frame(number) * 1000) for number in range(2))
    target.write_bytes(first + second[: max(len(second) - lost, 10)])
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        log = open_log(target, EVENT.schema)
    assert len(log) >= 1000
    assert "the compressed data ends too early" in str(seen[0].message)
    assert seen[0].filename == __file__
    target.write_bytes(first + second)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert len(open_log(target)) == 2000
    assert not seen


def test_damaged_compressed_logs_are_refused(target: Path) -> None:
    for packed in [bz2.compress(frame(1) * 1000), _zstd(frame(1) * 1000)]:
        target.write_bytes(packed[:8] + b"damaged!" * 20)
        with pytest.raises(OSError, match="cannot unpack it"):
            open_log(target)


@pytest.mark.parametrize("pack", [bz2.compress, _zstd])
def test_a_few_bytes_that_stand_for_very_many_are_unpacked_in_little_memory(
    target: Path, pack: Callable[[bytes], bytes]
) -> None:
    target.write_bytes(pack(bytes(128 * MIB)))
    assert target.stat().st_size < 64 << 10
    code = """
        import resource, sys, warnings
        from mmapbuilder import open_log
        warnings.simplefilter("ignore")
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        before = peak()
        assert open_log(sys.argv[1]).torn == 128 << 20
        print(peak() - before)
    """
    assert int(processes.python(code, target).ok().out) < 64 * MIB
