"""Files of NumPy arrays, .npz: loaded whole, or as read-only memory maps; written whole."""

from __future__ import annotations

import contextlib
import errno
import io
import math
import mmap
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np

from common.files import atomic_path, partial_prefix, require_regular
from utils import DataError, UserError, WriteError

# How many times its size the arrays of an .npz file may take: nearly what zeros compress to.
_MOST_INFLATED = 1000
# Bytes that are read at once; a member with fewer is loaded where larger ones are mapped.
_BLOCK = 1 << 20
# The end of a zip file, without its comment, and the longest comment.
_END_MAGIC, _END_SIZE, _MOST_COMMENT = b"PK\5\6", 22, (1 << 16) - 1
# What precedes a member, without its name and the extra fields: magic, flags, lengths of these two.
_HEADER, _HEADER_MAGIC, _NAME_IS_UTF8 = struct.Struct("<4s2xH18x2H"), b"PK\3\4", 0x800
# Enough for the header of every .npy file that NumPy reads.
_HEAD = 1 << 16


def open_npz(path: Path) -> dict[str, Any]:
    """The arrays of an .npz file, without unpickling.

    Raises DataError if it is not one, and if its arrays take over a thousand times its size.
    """
    # Of anything else than a zip file, NumPy advises to unpickle it.
    with (
        _reading(path) as (file, _),
        np.lib.npyio.NpzFile(file, allow_pickle=False) as arrays,
    ):
        return {name: arrays[name] for name in arrays.files}


def save_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write an .npz file, completely or not at all, under exactly this name."""
    # np.savez takes names as keywords, and some are its own.
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)


@contextlib.contextmanager
def mapped_npz(path: Path, scratch: Path | None = None) -> Iterator[dict[str, np.ndarray]]:
    """The arrays of an .npz file by name, read-only, in memory that does not grow with them.

    Arrays of 1 MiB and more are memory maps: of the file itself where they are stored as they are
    (numpy.savez; they may start at any byte, so `flags.aligned` can be False), of temporary files
    where they are compressed (numpy.savez_compressed). Smaller ones are loaded. All have the shape,
    dtype and order that numpy.load gives them. Everything is read once before, for its checksums.

    The arrays are for the block alone: then the temporary files are removed. A file that another
    program cuts off meanwhile ends the process when its map is read.

    scratch: a folder for temporary files; by default the system's.

    Raises DataError if the file is not a whole .npz file of plain arrays, if anything in it is
    damaged or pickled, and if its arrays take over a thousand times its size; WriteError if there
    is no room to inflate them.
    """
    with contextlib.ExitStack() as stack:
        with _reading(path) as (file, archive):
            members = archive.infolist()
            _require_all(file, members)
            inflated = [m.file_size for m in members if m.compress_type and m.file_size >= _BLOCK]
            folder = ""
            if inflated:
                folder = stack.enter_context(_temporary_folder(path, sum(inflated), scratch))
            arrays = {
                member.filename.removesuffix(".npy"): _array(path, file, archive, member, folder)
                for member in members
            }
            if len(arrays) < len(members):
                raise ValueError("two arrays have one name")
        yield arrays


def release(*arrays: np.ndarray) -> None:
    """Let go of what was read of maps: it counts as memory of the process as long as it is kept.

    Without effect on other arrays, and where the system has no way to do it.
    """
    for array in arrays:
        owner: Any = array
        while isinstance(owner, np.ndarray):
            owner = owner.base
        if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            owner.madvise(mmap.MADV_DONTNEED)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[tuple[BinaryIO, zipfile.ZipFile]]:
    """An .npz file and the zip file in it; whatever is raised in the block is a DataError.

    Errors for users (UserError) stay what they are.
    """
    size = require_regular(path).st_size
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise DataError(f"{path} is not a whole .npz file: it is cut off, or another file")
            with zipfile.ZipFile(file) as archive:
                inflated = sum(member.file_size for member in archive.infolist())
                if inflated > _MOST_INFLATED * size:
                    raise DataError(
                        f"{path} has {size} bytes and would take {inflated}, over {_MOST_INFLATED} "
                        "times as many: expected arrays that compress less, or numpy.savez's"
                    )
                yield file, archive
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        why = str(error) or type(error).__name__
        raise DataError(f"{path} is not a readable .npz file of plain arrays: {why}") from None


def _require_all(file: BinaryIO, members: list[zipfile.ZipInfo]) -> None:
    """Raise ValueError unless a zip file has as many members as its end says, or is empty.

    Python's reader does not look: damage can hide one member, or all of them.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END_SIZE - _MOST_COMMENT))
    tail = file.read()
    start = tail.rfind(_END_MAGIC)
    count = int.from_bytes(tail[start + 10 : start + 12], "little")
    if count not in (len(members), 0xFFFF):  # the last: too many for this field
        raise ValueError(f"it has {len(members)} members, and should have {count}")
    if not members and size > len(tail) - start:
        raise ValueError(f"it has no members, and {size} bytes")


@contextlib.contextmanager
def _writing(path: Path, needed: int) -> Iterator[None]:
    """Raise WriteError for what the system refuses in the block, where `path` is inflated.

    needed: how many bytes that takes.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(
            f"the compressed arrays of {path} take {needed} bytes in a temporary folder: {why}. "
            "Make room there, or save them with numpy.savez, which takes none",
            why,
        ) from None


def _temporary_folder(
    path: Path, needed: int, scratch: Path | None
) -> tempfile.TemporaryDirectory[str]:
    """A new folder for so many bytes of arrays of `path`. Raises WriteError without the room."""
    with _writing(path, needed):
        place = scratch or Path(tempfile.gettempdir())
        free = shutil.disk_usage(place).free
        if free < needed:  # at once, not when the disk is full for all
            raise OSError(errno.ENOSPC, f"{place} has {free} free")
        return tempfile.TemporaryDirectory(
            dir=place, prefix=partial_prefix(), ignore_cleanup_errors=True
        )


def _array(
    path: Path, file: BinaryIO, archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: str
) -> np.ndarray:
    """The array in a member of the zip file at `path`, its checksum compared.

    folder: for the array's own file, if it is large and compressed.
    """
    begin = _begin(file, member)
    blocks = _blocks(archive, member)
    if member.file_size < _BLOCK:
        content = b"".join(blocks)
        shape, dtype, order, start = _layout(content, member)
        return np.ndarray(shape, dtype, content, start, order=order)
    if member.compress_type == zipfile.ZIP_STORED:
        for _ in blocks:
            pass
        return _mapped(file, begin, member)
    inflated = Path(folder) / f"{begin}.npy"
    with _writing(path, member.file_size), inflated.open("wb") as out:
        for block in blocks:
            out.write(block)
    with inflated.open("rb") as found:
        return _mapped(found, 0, member)


def _begin(file: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where in a zip file the bytes of a member begin, as its own header says.

    Raises ValueError where that is no header, or has its name in another encoding.
    """
    file.seek(member.header_offset)
    magic, flags, name, extra = _HEADER.unpack(file.read(_HEADER.size))
    if magic != _HEADER_MAGIC:
        raise ValueError(f"Bad magic number before {member.filename!r}")
    if (flags ^ member.flag_bits) & _NAME_IS_UTF8:
        raise ValueError(f"the name {member.filename!r} is there in two encodings")
    return member.header_offset + _HEADER.size + name + extra


def _blocks(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member, inflated, at most 1 MiB at once.

    Raises ValueError if there are fewer than the zip file says, and if the system does not let one
    read them; zipfile's errors, at the end, if they do not have their checksum.
    """
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename!r} is compressed as NumPy does not, expected deflate")
    left = member.file_size
    try:
        with archive.open(member) as file:
            while block := file.read(_BLOCK):
                left -= len(block)
                yield block
    except OSError as error:  # not of the file that the blocks are written to
        raise ValueError(f"{member.filename!r}: {error}") from None
    if left:
        raise ValueError(f"{member.filename!r} ends {left} bytes early")


class _Layout(NamedTuple):
    """An array in the bytes of a .npy file, of which the values begin at `start`."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: Literal["C", "F"]
    start: int


def _layout(head: bytes, member: zipfile.ZipInfo) -> _Layout:
    """What the header of a .npy file says. NumPy takes none over 10,000 bytes.

    head: how the file begins, or all of it.

    Raises ValueError if it is none, if the array is pickled, and if it does not fill the file.
    """
    file = io.BytesIO(head)
    name, size = member.filename, member.file_size
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:  # 3.0: fields of a structured array, with names beyond Latin-1
        raise ValueError(f"{name!r} has version {version} of the .npy format, expected 1.0 or 2.0")
    shape, is_fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ValueError(f"{name!r} is pickled, an array of objects")
    start = file.tell()
    if any(n < 0 for n in shape) or start + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(
            f"{name!r} has {max(0, size - start)} bytes of values, expected {dtype} {list(shape)}"
        )
    return _Layout(shape, dtype, "F" if is_fortran else "C", start)


def _mapped(file: BinaryIO, begin: int, member: zipfile.ZipInfo) -> np.ndarray:
    """A read-only memory map of the array in the .npy file that begins somewhere in a file."""
    file.seek(begin)
    shape, dtype, order, start = _layout(file.read(_HEAD), member)
    return np.memmap(file, dtype, "r", begin + start, shape, order)
