"""Pickles of numbers are read; whatever else they ask for does not happen."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from common.pickles import read_pickle
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
        (np.array([None, 1]), "array of object"),
        (np.array(["x"]), "array of <U1"),
        ([b"bytes"], "holds a bytes"),
        ({"0": None}, "holds a NoneType"),
        ({1: {2, 3}}, "holds a set"),
    ],
    ids=["objects", "texts", "bytes", "None", "set"],
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
    with pytest.raises(DataError, match=r"a\.pkl (does not exist|is damaged or not a pickle)"):
        read_pickle(path)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_old_and_new_numpy_are_read(core, tmp_path):
    content = pickle.dumps([np.arange(3.0), np.float64(2)], protocol=2)
    old = content.replace(b"numpy._core", core).replace(b"numpy.core", core)
    (tmp_path / "a.pkl").write_bytes(old)
    array, scalar = read_pickle(tmp_path / "a.pkl")
    assert (array.tolist(), scalar) == ([0, 1, 2], 2)
