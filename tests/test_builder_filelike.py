"""A Builder as a binary file that can be written."""

from __future__ import annotations

import array
import gzip
import io
import os
import pickle
import shutil
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from mmapbuilder import Builder, CapacityError

MIB = 1 << 20


def test_write_returns_the_bytes_written(target: Path) -> None:
    with Builder(target) as b:
        assert b.write(b"") == 0
        assert b.write(b"abc") == 3
        assert b.write(bytearray(b"de")) == 2
        assert b.write(memoryview(b"fgh")[::1]) == 3
        assert b.write(array.array("I", [1, 2])) == 8
        assert b.tell() == 16
    assert target.read_bytes() == b"abcdefgh" + array.array("I", [1, 2]).tobytes()


@pytest.mark.parametrize("wrong", ["text", None, 5, [1, 2], object()])
def test_write_wants_bytes(target: Path, wrong: object) -> None:
    with Builder(target) as b:
        with pytest.raises(TypeError):
            b.write(wrong)  # type: ignore[arg-type]
        assert b.tell() == 0


def test_write_of_a_strided_view(target: Path) -> None:
    # As a file does: what is not contiguous is refused, not mangled.
    with Builder(target) as b, io.BytesIO() as file:
        with pytest.raises(BufferError):
            file.write(memoryview(b"abcdef")[::2])
        with pytest.raises((BufferError, ValueError)):
            b.write(memoryview(b"abcdef")[::2])


def test_tell_and_seek(target: Path) -> None:
    with Builder(target) as b:
        assert b.tell() == 0
        b.write(b"0123456789")
        assert b.tell() == 10
        assert b.seek(3) == 3
        assert b.seek(2, os.SEEK_CUR) == 5
        assert b.seek(-1, os.SEEK_CUR) == 4
        b.write(b"x")
        assert b.tell() == 5
        assert b.seek(-2, os.SEEK_END) == 8
        assert b.seek(5, os.SEEK_END) == 15
        assert b.size == 10  # a seek alone changes nothing
        b.write(b"y")
        assert b.size == 16
    assert target.read_bytes() == b"0123x56789" + bytes(5) + b"y"


def test_seek_from_the_end_counts_what_was_stored_through_views(target: Path) -> None:
    with Builder(target) as b:
        memoryview(b)[99] = 1
        assert b.seek(0, os.SEEK_END) == 112  # after the element that ends there, if any does
        b.write(b"after")
    assert target.read_bytes() == bytes(99) + b"\1" + bytes(12) + b"after"


def test_seek_refuses(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"123")
        for offset, whence in ((-1, 0), (-4, 1), (-4, 2), (0, 3), (0, -1)):
            with pytest.raises((ValueError, OSError)):
                b.seek(offset, whence)
        for wrong in (1.5, "1", None):
            with pytest.raises(TypeError):
                b.seek(wrong)  # type: ignore[arg-type]
        assert b.tell() == 3


def test_the_cursor_and_the_views_are_independent(target: Path) -> None:
    with Builder(target) as b:
        b[100] = 1
        assert b.tell() == 0
        b.write(b"start")
        assert b[:5] == b"start"
        assert b[100] == 1


def test_truncate(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"0123456789")
        assert b.truncate(5) == 5
        assert b.size == 5
        assert b.tell() == 10  # as with files
        assert b[:10] == b"01234" + bytes(5)
        assert b.truncate(8) == 8
        assert b.size == 8
        b.seek(2)
        assert b.truncate() == 2
        assert b.size == 2
        assert b[:10] == b"01" + bytes(8)
    assert target.read_bytes() == b"01"


def test_truncate_forgets_what_lies_beyond_for_good(target: Path) -> None:
    with Builder(target) as b:
        b[0 : 10 * MIB] = b"x" * (10 * MIB)
        view = b[5 * MIB : 5 * MIB + 10]
        b.truncate(4 * MIB + 7)
        assert view == bytes(10)
        assert b[4 * MIB : 4 * MIB + 10] == b"x" * 7 + bytes(3)
        b.truncate(10 * MIB)
        assert b[9 * MIB : 9 * MIB + 4] == bytes(4)
        view[0] = 7  # views go on working
        assert b[5 * MIB] == 7
        view.release()
    content = target.read_bytes()
    assert len(content) == 10 * MIB
    assert content[: 4 * MIB + 7] == b"x" * (4 * MIB + 7)
    assert content.count(0) == 6 * MIB - 7 - 1
    assert content[5 * MIB] == 7


def test_truncate_up_declares_zeros(target: Path) -> None:
    with Builder(target) as b:
        b.write(b"x")
        b.truncate(100 * MIB)
        assert b.size == 100 * MIB
    assert target.stat().st_size == 100 * MIB
    with target.open("rb") as file:
        assert file.read(10) == b"x" + bytes(9)


def test_truncate_refuses(target: Path) -> None:
    with Builder(target, capacity=100) as b:
        b.write(b"123")
        with pytest.raises(ValueError):
            b.truncate(-1)
        with pytest.raises(CapacityError):
            b.truncate(101)
        for wrong in (1.5, "1"):
            with pytest.raises(TypeError):
                b.truncate(wrong)  # type: ignore[arg-type]
        assert b.size == 3
        assert b.truncate(100) == 100


def test_what_it_can_do(target: Path) -> None:
    with Builder(target) as b:
        assert b.writable()
        assert b.seekable()
        assert b.readable()
        assert not b.isatty()
        assert isinstance(b, io.BufferedIOBase)


def test_flush_of_a_range_says_what_is_wrong_with_it(target: Path) -> None:
    with Builder(target, capacity=1 << 20) as b:
        b.write(b"abc")
        assert b.flush(0, 3) is None
        assert b.flush(0, 1 << 20) is None
        assert b.flush(4096, size=4096) is None
        for offset, size in ((0, (1 << 20) + 1), (1 << 20, 1), (1 << 62, 1 << 62)):
            with pytest.raises(ValueError, match="beyond the capacity"):
                b.flush(offset, size)
        for offset, size in ((-1, 5), (0, -5)):
            with pytest.raises(ValueError, match="negative"):
                b.flush(offset, size)
        with pytest.raises(TypeError):
            b.flush(0.5, 3)  # type: ignore[arg-type]


def test_flush_pushes_to_the_file(target: Path) -> None:
    with Builder(target) as b:
        b[0:5] = b"hello"
        assert b.flush() is None
        assert b.flush(durable=True) is None
        assert b.flush(True) is None
        with target.open("rb") as file:
            assert file.read(5) == b"hello"


def test_there_is_a_descriptor_but_no_fileno(target: Path) -> None:
    with Builder(target) as b:
        b[0:5] = b"hello"
        assert os.path.samestat(os.fstat(b.descriptor), target.stat())
        assert os.pread(b.descriptor, 5, 0) == b"hello"
        with pytest.raises(io.UnsupportedOperation):
            b.fileno()


# ---- what others write into it -----------------------------------------------------


def test_numpy_save(target: Path) -> None:
    np = pytest.importorskip("numpy")
    # Arrays go to the file descriptor of real files; here they must come by write.
    for order in ("C", "F"):
        samples = np.arange(600_000, dtype="f8").reshape(600, 1000, order=order)
        with Builder(target) as b:
            np.save(b, samples)
        assert (np.load(target) == samples).all()


def test_numpy_save_of_several_arrays_in_one_file(target: Path) -> None:
    np = pytest.importorskip("numpy")
    one, two = np.arange(10), np.ones((3, 3))
    with Builder(target) as b:
        np.save(b, one)
        np.save(b, two)
    with target.open("rb") as file:
        assert (np.load(file) == one).all()
        assert (np.load(file) == two).all()


def test_numpy_savez(target: Path) -> None:
    np = pytest.importorskip("numpy")
    one, two = np.arange(100_000), np.ones((3, 3))
    with Builder(target) as b:
        np.savez(b, one=one, two=two)
    with np.load(target) as found:
        assert (found["one"] == one).all()
        assert (found["two"] == two).all()


def test_numpy_tofile_is_not_fooled(target: Path) -> None:
    np = pytest.importorskip("numpy")
    with Builder(target) as b:
        b.write(np.arange(10))
        b.write(np.arange(10, dtype="u1")[3:7])
    assert target.read_bytes() == np.arange(10).tobytes() + bytes([3, 4, 5, 6])


def test_pickle(target: Path) -> None:
    value = {"numbers": list(range(1000)), "bytes": b"x" * 200_000, "nested": [{"a": 1}] * 3}
    with Builder(target) as b:
        pickle.dump(value, b)
        pickle.dump("second", b, protocol=5)
    with target.open("rb") as file:
        assert pickle.load(file) == value
        assert pickle.load(file) == "second"


def test_shutil_copyfileobj(target: Path, tmp_path: Path) -> None:
    content = os.urandom(3 * MIB + 17)
    (tmp_path / "source").write_bytes(content)
    with (tmp_path / "source").open("rb") as source, Builder(target) as b:
        shutil.copyfileobj(source, b)
    assert target.read_bytes() == content


def test_zip(target: Path) -> None:
    # Seeks back to fill in its headers.
    with Builder(target) as b, zipfile.ZipFile(b, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", b"1" * 100_000)
        with archive.open("two", "w") as member:
            member.write(b"2" * 100_000)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert archive.read("two") == b"2" * 100_000


def test_tar_and_gzip(target: Path) -> None:
    with (
        Builder(target) as b,
        gzip.GzipFile(fileobj=b, mode="wb") as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        member = tarfile.TarInfo("one")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"hello"))
    with tarfile.open(target) as archive:
        found = archive.extractfile("one")
        assert found is not None
        assert found.read() == b"hello"


def test_print_through_a_text_wrapper(target: Path) -> None:
    with Builder(target) as b:
        lines = "".join(f"line {i}\n" for i in range(1000))
        b.write(lines.encode())
        b.seek(0)
        b.write(b"LINE")
    assert target.read_text() == "LINE" + lines[4:]


# ---- from a builder into itself -------------------------------------------------------


@pytest.mark.parametrize("size", [100, 10_000, 3 * MIB])
@pytest.mark.parametrize("by", [4, -4, 5000, -5000])
@pytest.mark.parametrize("way", ["slice", "write"])
def test_content_is_moved_within_a_builder(target: Path, size: int, by: int, way: str) -> None:
    start = 6000
    content = os.urandom(size - 1) + b"."
    with Builder(target) as b:
        b.seek(start)
        b.write(content)
        source = b[start : start + size]
        if way == "slice":
            b[start + by : start + by + size] = source
        else:
            b.seek(start + by)
            b.write(source)
        assert b[start + by : start + by + size] == content
        source.release()


def test_the_file_offset_of_the_caller_stays_under_threads(target: Path) -> None:
    with target.open("w+b", buffering=0) as f, Builder(f) as b:
        b[: 64 * MIB : MIB] = b"x" * 64
        f.seek(12345)
        threads = [threading.Thread(target=lambda: [b.size for _ in range(300)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert f.seek(0, os.SEEK_CUR) == 12345


def test_reserve_takes_its_end_by_name(target: Path) -> None:
    with Builder(target) as b:
        b.reserve(end=5 * MIB)
        assert b.stats.backed >= 5 * MIB
