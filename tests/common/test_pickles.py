"""Pickles of numbers are read; whatever else they ask for does not happen."""

import itertools
import os
import pickle
from collections import Counter, OrderedDict
from pathlib import Path

import numpy as np
import pytest

from common.pickles import read_pickle
from tests.fuzz_pickles import files, outcome, pickles, read_as_pickle
from utils import DataError


class Touches:
    """Unpickled freely, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def save(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


CONTENT = {"0": [1, np.int64(2)], "x": {"y": (0.5, True)}, "z": OrderedDict(a=np.float64(1.5))}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_content_and_arrays_are_read(protocol, tmp_path):
    array = np.array([[0.5, np.nan], [1, 2]])
    found = read_pickle(save(tmp_path / "a.pkl", {**CONTENT, "array": array}, protocol))
    np.testing.assert_array_equal(found.pop("array"), array)
    assert found == CONTENT


def test_a_pickle_that_calls_a_function_is_refused_before_the_call(tmp_path):
    made = tmp_path / "made"
    path = save(tmp_path / "a.pkl", {"0": [Touches(made)]})
    with pytest.raises(DataError, match=r"a\.pkl is refused: the pickle asks for pathlib.*Path"):
        read_pickle(path)
    assert not made.exists()


@pytest.mark.parametrize(
    "attack",
    [
        b"cposix\nsystem\n(S'exit 3'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
        b"ctorch\n_utils._rebuild_tensor_v2\n.",
    ],
    ids=["system", "eval", "numpy.load", "fromfile", "torch"],
)
def test_other_names_are_refused(attack, tmp_path):
    (tmp_path / "a.pkl").write_bytes(attack)
    with pytest.raises(DataError, match=r"a\.pkl is refused: the pickle asks for"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.array([None, 1]), "asks for an array of O8, and only"),
        (np.array(["x"]), "asks for an array of U1, and only"),
        (np.array([1j]), "asks for an array of c16, and only"),
        (np.array(["2020"], "M8[Y]"), "asks for an array of M8, and only"),
        (np.array([(1,)], [("a", "i4")]), "asks for an array of V4, and only"),
        ({(1, 2): 3}, "asks for a dict with a tuple as key, and only"),
        ([b"bytes"], "holds a bytes"),
        ({"0": None}, "holds a NoneType"),
        ({1: {2, 3}}, "asks for EMPTY_SET, and only"),
        (np.dtype("f4"), "holds a Float32DType|holds a dtype"),
        (np.ndarray, "holds a Name"),
    ],
    ids=[
        *("objects", "texts", "complex", "times", "fields", "key", "bytes", "None", "set"),
        *("type", "name"),
    ],
)
def test_content_that_is_not_plain_is_refused(content, words, tmp_path):
    with pytest.raises(DataError, match=words):
        read_pickle(save(tmp_path / "a.pkl", content))


def test_a_list_that_holds_itself_is_read(tmp_path):
    endless = [1]
    endless.append(endless)
    found = read_pickle(save(tmp_path / "a.pkl", endless))
    assert found[1] is found


@pytest.mark.parametrize("case", ["absent", "folder", "empty", "cut", "text"])
def test_a_file_that_is_no_pickle_is_refused(case, tmp_path):
    path = tmp_path / "a.pkl"
    if case == "folder":
        path.mkdir()
    elif case == "cut":
        path.write_bytes(pickle.dumps(np.zeros(100))[:-50])
    elif case != "absent":
        path.write_text("" if case == "empty" else "Stage: conv1")
    with pytest.raises(DataError, match=r"a\.pkl (does not exist|is a folder|is damaged or not)"):
        read_pickle(path)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_old_and_new_numpy_are_read(core, tmp_path):
    content = pickle.dumps([np.arange(3.0), np.float64(2)], protocol=2)
    old = content.replace(b"numpy._core", core).replace(b"numpy.core", core)
    (tmp_path / "a.pkl").write_bytes(old)
    array, scalar = read_pickle(tmp_path / "a.pkl")
    assert (array.tolist(), scalar) == ([0, 1, 2], 2)


ARRAYS = [
    np.array(3.5),
    np.array([], "i8"),
    np.zeros((2, 0, 3), "f2"),
    np.array([True, False]),
    np.arange(6, dtype=">i2").reshape(2, 3),
    np.arange(200, 256, dtype="u1"),
    np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    np.arange(24, dtype="f4").reshape(2, 3, 4).transpose(2, 0, 1),
    np.arange(24, dtype="u8").reshape(4, 6)[:, ::2],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype} {a.shape}")
def test_arrays_of_every_form_are_read_into_memory_of_their_own(array, protocol, tmp_path):
    (found, again) = read_pickle(save(tmp_path / "a.pkl", [array, array], protocol))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    assert found.shape == array.shape
    assert found is again
    assert found.flags.writeable


def test_texts_and_bytes_of_python_2_are_read(tmp_path):
    # {'a': array([1.0, -2.0])} as Python 2 wrote it with protocol 0.
    (tmp_path / "a.pkl").write_bytes(
        b"(dp0\nS'a'\np1\ncnumpy.core.multiarray\n_reconstruct\np2\n(cnumpy\nndarray\np3\n"
        b"(I0\ntp4\nS'b'\np5\ntp6\nRp7\n(I1\n(L2L\ntp8\ncnumpy\ndtype\np9\n(S'f8'\np10\nI0\nI1\n"
        b"tp11\nRp12\n(I3\nS'<'\np13\nNNNI-1\nI-1\nI0\ntp14\nbI00\n"
        rb"S'\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00\x00\x00\x00\x00\xc0'"
        b"\np15\ntp16\nbs."
    )
    assert read_pickle(tmp_path / "a.pkl")["a"].tolist() == [1, -2]


# ---- Pickles written by hand, to be read as something else than they are.

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
FLOAT = b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNK\x00K\x00K\x00tb"
# The type of arrays of objects, with the flags of a type of plain bytes.
ADDRESS = FLOAT.replace(b"f8", b"O8").replace(b"<", b"|")
EIGHT = b"C\x08AAAAAAAA"
TWICE = b"\x86q\x00" + 60 * b"h\x00\x86q\x00"  # a tuple of the one before, twice


def array(shape, data=EIGHT, dtype=FLOAT):
    return RECONSTRUCT + b"(K\x01" + shape + dtype + b"\x89" + data + b"tb"


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        (
            b"cnumpy.core.multiarray\nscalar\n(" + ADDRESS + EIGHT + b"tR.",
            "asks for an array of O8",
        ),
        (array(b"K\x01\x85", dtype=ADDRESS) + b".", "asks for an array of O8"),
        (array(b"K\x02\x85") + b".", "an array of 8 bytes, expected as many as its shape takes"),
        (array(b"K\x00J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87", b"C\x00") + b".", "damaged or not"),
        (array(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86") + b".", "not of integers from zero"),
        (array(b"(" + 40 * b"K\x01" + b"t") + b".", "without a shape"),
        (RECONSTRUCT + b".", "holds a Draft"),
        (b"cnumpy\nndarray\n(K\x09tR.", "only a name"),
        (b"cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.", "a state of what has none"),
        (array(b"K\x01\x85") + b"(K\x01tb.", "a state of what has none"),
        (b"]K\x01s.", "damaged or not"),
        (b"]r\xff\xff\xff\x7fr\xff\xff\xff\xff.", None),
        (b"}K\x01K\x02" + TWICE + b"K\x03s.", "asks for a dict with a tuple as key"),
        (b"K\x01K\x02" + TWICE + b".", None),
        (b"]" + 100_000 * b"]a" + b".", None),
        (100_000 * b"]" + 99_999 * b"a" + b".", None),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "expected 9223372036854775807 bytes"),
        (b"\x95\xff\xff\xff\xff\xff\xff\xff\xff].", None),
        (b"K\x01P0\n.", "asks for PERSID"),
        (b"K\x01\x82\x01.", "asks for EXT1"),
        (b"K\x01K\x01\x81.", "asks for NEWOBJ"),
        (b"a.", "damaged or not"),
        (b"t.", "damaged or not"),
        (b"h\x00.", "damaged or not"),
        (b".", "damaged or not"),
    ],
)
def test_pickles_by_hand_are_refused_or_harmless(attack, words, tmp_path):
    (tmp_path / "a.pkl").write_bytes(attack)
    if words is None:
        read_pickle(tmp_path / "a.pkl")
        return
    with pytest.raises(DataError, match=words):
        read_pickle(tmp_path / "a.pkl")


def test_a_text_that_is_made_into_many_arrays_is_refused(tmp_path):
    text = b"(X" + (80_000).to_bytes(4, "little") + bytes(80_000) + b"q\x01"
    one = array(b"M\x10\x27\x85", b"h\x01")
    (tmp_path / "a.pkl").write_bytes(text + one + b"l.")
    assert read_pickle(tmp_path / "a.pkl")[1].shape == (10_000,)
    (tmp_path / "a.pkl").write_bytes(text + 2 * one + b"l.")
    with pytest.raises(DataError, match="its arrays are larger than the file"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("case", ["pipe", "link", "long name"])
def test_what_is_no_file_is_refused_at_once(case, tmp_path):
    path = tmp_path / ("a" * 300 if case == "long name" else "a.pkl")
    if case == "pipe":
        os.mkfifo(path)
    elif case == "link":
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"a pipe or a device|a link to a file|cannot be read"):
        read_pickle(path)


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = save(tmp_path / "a.pkl", CONTENT)

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=r"a\.pkl cannot be read: Permission denied"):
        read_pickle(path)


def test_changed_pickles_are_read_as_plain_content_or_refused(tmp_path):
    source = files(seed=1, valid=pickles())
    found = Counter()
    for data in itertools.islice(source, 2000):
        (tmp_path / "a.pkl").write_bytes(data)
        found[outcome(read_as_pickle, tmp_path / "a.pkl")] += 1
    assert set(found) == {"read", "refused"}, found
