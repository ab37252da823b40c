"""Files of NumPy arrays: written whole, loaded, and mapped; damage and what is no .npz file."""

import errno
import io
import itertools
import os
import pickle
import shutil
import struct
import tempfile
import zipfile

import numpy as np
import pytest

from common import npz
from common.files import partial_prefix
from common.npz import mapped_npz, open_npz, save_npz
from tests.helpers import peak_memory
from utils import DataError, WriteError

# ---- Written and loaded.


def test_npz_round_trip_under_exactly_the_given_name(tmp_path):
    arrays = {"layer3,app": np.arange(6.0).reshape(2, 3), "5": np.zeros((2, 0), np.float32)}
    save_npz(tmp_path / "features", arrays)
    assert [path.name for path in tmp_path.iterdir()] == ["features"]
    found = open_npz(tmp_path / "features")
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_npz_takes_every_name(tmp_path):
    arrays = {name: np.full(2, i) for i, name in enumerate(("file", "args", "allow_pickle"))}
    save_npz(tmp_path / "x.npz", arrays)
    found = open_npz(tmp_path / "x.npz")
    assert {name: value.tolist() for name, value in found.items()} == {
        "file": [0, 0],
        "args": [1, 1],
        "allow_pickle": [2, 2],
    }


def test_damaged_npz_is_a_data_error_or_readable_but_never_crashes(tmp_path, rng):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=rng.integers(0, 9, (40, 40)), b=np.zeros((30, 30)))
    whole, refused = path.read_bytes(), 0
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            open_npz(path)
        except DataError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", ["", "cut", "npy", "pickle"])
def test_what_is_no_npz_is_said_without_advice_to_unpickle(tmp_path, content):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.zeros(9))
    np.save(tmp_path / "x.npy", np.zeros(9))
    contents = {"cut": path.read_bytes()[:-9], "npy": (tmp_path / "x.npy").read_bytes()}
    path.write_bytes(contents.get(content, pickle.dumps([1]) if content else b""))
    with pytest.raises(DataError, match=r"x\.npz is not a whole \.npz file: it is cut off, or an"):
        open_npz(path)


def test_npz_whose_first_bytes_are_damaged_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(9))
    content = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(b"x" + content[1:])
    with pytest.raises(DataError, match=r"not a readable \.npz file of plain arrays: Bad magic"):
        open_npz(tmp_path / "x.npz")


def test_npz_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(DataError, match="is a pipe or a device, expected a file"):
        open_npz(tmp_path / "x.npz")


def test_npz_that_inflates_beyond_measure_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(1 << 21))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_BZIP2) as archive:
        archive.write(tmp_path / "a.npy", "a.npy")
    with pytest.raises(DataError, match=r"bytes and would take \d+, over 1000 times as many"):
        open_npz(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", a=np.zeros(1 << 10))
    assert open_npz(tmp_path / "x.npz")["a"].shape == (1 << 10,)


# ---- Mapped.

SAVERS = {"stored": np.savez, "compressed": np.savez_compressed, "ours": None}
# Of so many bytes on, arrays are mapped in these tests, so that they can be small.
SMALL = 256


@pytest.fixture(params=[SMALL, 1 << 20], ids=["mapped", "loaded"])
def block(request, monkeypatch):
    """Small arrays are mapped, or loaded."""
    monkeypatch.setattr(npz, "_BLOCK", request.param)
    return request.param


@pytest.fixture
def mapping(monkeypatch):
    """Small arrays are mapped."""
    monkeypatch.setattr(npz, "_BLOCK", SMALL)


@pytest.fixture
def scratch(tmp_path):
    """A folder for temporary files, empty again at the end."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    yield folder
    assert list(folder.iterdir()) == []


def save(path, kind, **arrays):
    (SAVERS[kind] or (lambda path, **arrays: save_npz(path, arrays)))(path, **arrays)


def loaded(path, scratch):
    """Copies of the arrays that are mapped, in their order."""
    with mapped_npz(path, scratch) as arrays:
        return {name: np.array(array, order="K") for name, array in arrays.items()}


def same(found, expected):
    return sorted(found) == sorted(expected) and all(
        found[name].dtype == array.dtype
        and found[name].shape == array.shape
        and found[name].tobytes() == array.tobytes()
        for name, array in expected.items()
    )


def written(path, members, **options):
    """A zip file of members, name to bytes."""
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def promising(text, values=b"", magic=b"\x93NUMPY\1\0"):
    """A .npy file whose header is `text`."""
    header = text.encode() + b"\n"
    length = struct.pack("<H" if magic[6] == 1 else "<I", len(header))
    return magic + length + header + values


DTYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", "<i8", ">u2", "?", "<c16", "<U7", "S5", "<M8[s]"]
DTYPES += ["i1", [("x", "<f4"), ("y", ">i2", (2,))]]
SHAPES = [(), (0,), (5, 0), (1,), (97,), (13, 9), (9, 13, 3)]


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("order", "CF")
@pytest.mark.usefixtures("block")
def test_mapped_arrays_are_those_of_numpy(kind, order, tmp_path, scratch, rng):
    arrays = {}
    for i, (dtype, shape) in enumerate(itertools.product(DTYPES, SHAPES)):
        values = np.frombuffer(rng.integers(48, 50, 60_000).astype(np.uint8), "u1")
        if dtype == "<U7":  # not all bytes are text
            values = values.astype("<u4")
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        plain = np.frombuffer(values.tobytes()[:size].ljust(size, b"0"), dtype)
        arrays[f"ä {i}"] = np.array(plain.reshape(shape), order=order)
    save(tmp_path / "x.npz", kind, **arrays)
    with np.load(tmp_path / "x.npz") as expected, mapped_npz(tmp_path / "x.npz", scratch) as found:
        assert list(found) == expected.files
        assert same(found, dict(expected))
        for name, array in found.items():
            assert array.flags.f_contiguous == expected[name].flags.f_contiguous
            assert not array.flags.writeable


@pytest.mark.parametrize("kind", SAVERS)
def test_large_arrays_are_maps_and_small_ones_are_loaded(kind, tmp_path, scratch, rng):
    save(tmp_path / "x.npz", kind, large=rng.integers(0, 9, 1 << 18), small=np.zeros(9))
    with mapped_npz(tmp_path / "x.npz", scratch) as arrays:
        assert isinstance(arrays["large"], np.memmap)
        assert not isinstance(arrays["small"], np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            arrays["large"][0] = 1
        folders = [path.name for path in scratch.iterdir()]
        assert len(folders) == (kind == "compressed")
        assert all(name.startswith(partial_prefix()) for name in folders)


@pytest.mark.parametrize("kind", SAVERS)
def test_memory_does_not_grow_with_the_arrays(kind, tmp_path, scratch, rng, monkeypatch):
    monkeypatch.setattr(npz, "_BLOCK", 1 << 16)
    save(tmp_path / "few.npz", kind, a=rng.integers(0, 9, (2_000, 256)))
    save(tmp_path / "many.npz", kind, a=rng.integers(0, 9, (10_000, 256)))

    def rows(name):
        with mapped_npz(tmp_path / name, scratch) as arrays:
            for start in range(0, len(arrays["a"]), 100):
                arrays["a"][start : start + 100].sum()

    rows("few.npz")  # imports and caches, once
    few, many = (peak_memory(lambda name=name: rows(name)) for name in ("few.npz", "many.npz"))
    assert many < 1.2 * few < (2 << 20)
    assert peak_memory(lambda: open_npz(tmp_path / "many.npz")) > 2 * many


@pytest.mark.usefixtures("mapping")
def test_members_of_other_programs(tmp_path, scratch):
    array = np.arange(200.0)
    plain = zipfile.ZipInfo("ö.npy")
    plain.extra = struct.pack("<HH5s", 0x7777, 5, b"other")
    with (tmp_path / "x.npz").open("wb") as file:
        file.write(b"a program that unpacks itself")
        with zipfile.ZipFile(file, "w") as archive:
            archive.comment = b"a comment"
            archive.writestr(plain, npy(array))
            archive.writestr("b", npy(array, (2, 0)))
            with archive.open("c.npy", "w", force_zip64=True) as member:
                member.write(npy(array))
    assert same(loaded(tmp_path / "x.npz", scratch), {"ö": array, "b": array, "c": array})


def test_name_in_an_old_encoding(tmp_path, scratch):
    written(tmp_path / "x.npz", {"oe.npy": npy(np.arange(3))})
    content = (tmp_path / "x.npz").read_bytes().replace(b"oe.npy", b"\x94e.npy")
    (tmp_path / "x.npz").write_bytes(content)
    assert list(loaded(tmp_path / "x.npz", scratch)) == ["öe"]


# ---- Not mapped: every refusal.

DESCRIPTION = "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}"
DOUBLES = bytes(800)
BAD_MEMBERS = {
    "more promised": (DESCRIPTION.format("'<f8'", "(101,)"), DOUBLES, "800 bytes of values, exp"),
    "far more": (DESCRIPTION.format("'<f8'", f"({1 << 62}, 4)"), DOUBLES, "800 bytes of values"),
    "less": (DESCRIPTION.format("'<f8'", "(99,)"), DOUBLES, r"expected float64 \[99\]"),
    "negative": (DESCRIPTION.format("'<f8'", "(-10, -10)"), DOUBLES, "800 bytes of values"),
    "objects": (DESCRIPTION.format("'|O'", "(100,)"), DOUBLES, "is pickled, an array of objects"),
    "objects inside": (DESCRIPTION.format("[('x', '|O')]", "(100,)"), DOUBLES, "is pickled"),
    "no dtype": (DESCRIPTION.format("'what'", "(100,)"), DOUBLES, "not a readable"),
    "code": ("__import__('os').getcwd()", DOUBLES, "not a readable"),
    "long": (DESCRIPTION.format("'<f8'", "(100,)") + " " * 20_000, DOUBLES, "not a readable"),
    "nested": ("(" * 5000, DOUBLES, "not a readable"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.usefixtures("block")
def test_header_that_does_not_fit_is_refused(case, compression, tmp_path, scratch):
    header, values, words = BAD_MEMBERS[case]
    members = {"a.npy": npy(np.zeros(100)), "b.npy": promising(header, values)}
    written(tmp_path / "x.npz", members, compression=compression)
    with pytest.raises(DataError, match=words):
        loaded(tmp_path / "x.npz", scratch)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "magic string"),
        (b"read me", "magic string"),
        (npy(np.zeros(9))[:40], "EOF"),
        (promising("{}", magic=b"\x93NUMPY\3\0"), r"version \(3, 0\) of the \.npy format"),
        (promising("{}", magic=b"\x93NUMPY\2\0")[:8] + b"\xff" * 4 + bytes(999), "EOF"),
    ],
)
@pytest.mark.usefixtures("block")
def test_member_that_is_no_array_is_refused(content, words, tmp_path, scratch):
    written(tmp_path / "x.npz", {"a.npy": content})
    with pytest.raises(DataError, match=words):
        loaded(tmp_path / "x.npz", scratch)


@pytest.mark.parametrize("kind", ["stored", "compressed"])
@pytest.mark.usefixtures("block")
def test_pickled_array_is_refused_and_not_unpickled(kind, tmp_path, scratch):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    save(tmp_path / "x.npz", kind, a=np.array([Bomb()] * 500, object))
    with pytest.raises(DataError, match=r"not a readable .npz file of .*'a\.npy' is pickled"):
        loaded(tmp_path / "x.npz", scratch)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", ["", "cut", "npy", "pickle"])
def test_what_is_no_npz_is_not_mapped(content, tmp_path, scratch):
    np.savez(tmp_path / "x.npz", a=np.zeros(9))
    cut = (tmp_path / "x.npz").read_bytes()[:-9]
    contents = {"": b"", "cut": cut, "npy": npy(np.zeros(9)), "pickle": pickle.dumps([1])}
    (tmp_path / "x.npz").write_bytes(contents[content])
    with pytest.raises(DataError, match=r"x\.npz is not a whole \.npz file: it is cut off, or an"):
        loaded(tmp_path / "x.npz", scratch)


def test_missing_file_and_pipe_are_not_mapped(tmp_path, scratch):
    with pytest.raises(DataError, match="does not exist"):
        loaded(tmp_path / "x.npz", scratch)
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(DataError, match="is a pipe or a device, expected a file"):
        loaded(tmp_path / "x.npz", scratch)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_inflates_beyond_measure_or_otherwise_is_not_mapped(compression, tmp_path, scratch):
    members = {"a.npy": npy(np.zeros(1 << 21))}
    written(tmp_path / "x.npz", members, compression=compression)
    with pytest.raises(DataError, match=r"bytes and would take \d+, over 1000 times as many"):
        loaded(tmp_path / "x.npz", scratch)
    written(tmp_path / "x.npz", {"a.npy": npy(np.zeros(9))}, compression=compression)
    with pytest.raises(DataError, match="compressed as NumPy does not, expected deflate"):
        loaded(tmp_path / "x.npz", scratch)


def test_two_arrays_of_one_name_are_refused(tmp_path, scratch):
    written(tmp_path / "x.npz", {"a.npy": npy(np.zeros(9)), "a": npy(np.ones(9))})
    with pytest.raises(DataError, match="two arrays have one name"):
        loaded(tmp_path / "x.npz", scratch)


# ---- Damage.


def changed(path, change):
    """Rewrite a file; `change` gets its bytes and returns others."""
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content) or content)


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_flipped_bit_of_a_large_array_is_seen(kind, place, tmp_path, scratch, rng):
    save(tmp_path / "x.npz", kind, a=rng.integers(0, 1 << 60, 1 << 18))

    def flip(content):
        content[int(place * len(content))] ^= 4

    changed(tmp_path / "x.npz", flip)
    with pytest.raises(DataError, match=r"x\.npz is not a readable \.npz file of plain arrays: "):
        loaded(tmp_path / "x.npz", scratch)


# Bytes of the first member's own header: magic, name, and the lengths of its name and extra fields.
@pytest.mark.parametrize("place", [0, 26, 28, 30])
@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.usefixtures("block")
def test_wrong_header_of_a_member_is_refused(place, kind, tmp_path, scratch):
    def flip(content):
        content[place] ^= 1

    save(tmp_path / "x.npz", kind, a=np.arange(500), b=np.arange(500))
    changed(tmp_path / "x.npz", flip)
    with pytest.raises(DataError, match=r"x\.npz is not a readable"):
        loaded(tmp_path / "x.npz", scratch)


def test_name_that_changed_its_encoding_is_refused(tmp_path, scratch):
    def flip(content):  # "these bytes are UTF-8", in the list at the end alone
        content[content.index(b"PK\1\2") + 9] ^= npz._NAME_IS_UTF8 >> 8

    np.savez(tmp_path / "x.npz", ä=np.zeros(9))
    changed(tmp_path / "x.npz", flip)
    with pytest.raises(DataError, match="is there in two encodings"):
        loaded(tmp_path / "x.npz", scratch)


def test_member_that_damage_hides_is_missed(tmp_path, scratch):
    def swallow(content):  # the comment of the first member is the second one's entry
        first = content.index(b"PK\1\2")
        content[first + 32] = content.index(b"PK\5\6") - content.index(b"PK\1\2", first + 1)

    np.savez(tmp_path / "x.npz", a=np.zeros(9), b=np.ones(9))
    changed(tmp_path / "x.npz", swallow)
    assert zipfile.ZipFile(tmp_path / "x.npz").namelist() == ["a.npy"]
    with pytest.raises(DataError, match="it has 1 members, and should have 2"):
        loaded(tmp_path / "x.npz", scratch)


def test_file_whose_end_is_zeros_is_not_empty(tmp_path, scratch):
    np.savez(tmp_path / "x.npz", a=np.zeros(9))
    changed(tmp_path / "x.npz", lambda content: content[:-18] + bytes(18))
    with pytest.raises(DataError, match="it has no members, and 3"):
        loaded(tmp_path / "x.npz", scratch)
    np.savez(tmp_path / "x.npz")
    assert loaded(tmp_path / "x.npz", scratch) == {}


def mutated(whole, rng):
    """A file with one to four changes at random, more of them where the zip file is described."""
    content = bytearray(whole)
    for _ in range(rng.integers(1, 5)):
        start = rng.choice([0, len(content) - 300, rng.integers(len(content))])
        at = min(int(max(0, start) + rng.integers(300)), len(content) - 1)
        some = slice(at, at + int(rng.integers(1, 60)))
        match rng.integers(8):
            case 0 | 1:
                content[at] ^= 1 << rng.integers(8)
            case 2:
                content[at] = rng.choice([0, 1, 127, 255, rng.integers(256)])
            case 3:
                del content[some]
            case 4:
                content[at:at] = content[some]
            case 5:
                content[some] = bytes(len(content[some]))
            case 6:
                other = int(rng.integers(len(content)))
                content[some] = content[other : other + len(content[some])]
            case 7:
                del content[int(rng.integers(len(content) // 2, len(content))) :]
        if not content:
            break
    return bytes(content)


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.usefixtures("mapping")
def test_mutated_files_give_the_arrays_or_a_data_error(kind, tmp_path, scratch, rng):
    arrays = {
        "a": rng.integers(0, 5, (20, 9)),
        "b": np.asfortranarray(rng.normal(size=(9, 9)).astype(">f4")),
        "fäctor": np.zeros(3, np.int8),
    }
    save(tmp_path / "x.npz", kind, **arrays)
    whole, refused, sound = (tmp_path / "x.npz").read_bytes(), 0, 0
    for _ in range(1500):
        content = mutated(whole, rng)
        (tmp_path / "x.npz").write_bytes(content)
        try:
            found = loaded(tmp_path / "x.npz", scratch)
        except DataError:
            refused += 1
        else:
            assert same(found, arrays)
            sound += 1
    assert refused > 1000
    assert sound > 20


# ---- Temporary files.


@pytest.fixture
def compressed(tmp_path, rng):
    """A file of an array that is inflated into a temporary folder."""
    np.savez_compressed(tmp_path / "x.npz", a=rng.integers(0, 9, 1 << 18), z=np.zeros(9))
    return tmp_path / "x.npz"


@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), ValueError(), KeyboardInterrupt()])
def test_errors_in_the_block_stay_and_leave_no_temporary_files(error, compressed, scratch):
    with pytest.raises(type(error)) as raised, mapped_npz(compressed, scratch):  # noqa: PT012
        assert len(list(scratch.iterdir())) == 1
        raise error
    assert raised.value is error


def test_temporary_files_of_the_system_are_gone(compressed, scratch, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    with mapped_npz(compressed):
        assert len(list(scratch.glob("*/*.npy"))) == 1


def test_too_small_a_disk_is_said_before_it_is_filled(compressed, scratch, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 1000))
    with pytest.raises(WriteError, match=r"x\.npz take 2097\d+ bytes in a .* has 1000 free"):
        loaded(compressed, scratch)


class Full(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_disk_that_fills_meanwhile_is_said(compressed, scratch, monkeypatch):
    open_path = npz.Path.open
    monkeypatch.setattr(
        npz.Path, "open", lambda path, mode: Full() if mode == "wb" else open_path(path, mode)
    )
    with pytest.raises(WriteError, match=r"in a temporary folder: No space left on device\. Make"):
        loaded(compressed, scratch)


def test_folder_for_temporary_files_that_is_not_there(compressed, tmp_path):
    with pytest.raises(WriteError, match=r"in a temporary folder: No such file or directory\."):
        loaded(compressed, tmp_path / "none")


def test_stored_arrays_need_no_temporary_folder(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(1 << 18))
    assert loaded(tmp_path / "x.npz", tmp_path / "none")["a"].shape == (1 << 18,)
