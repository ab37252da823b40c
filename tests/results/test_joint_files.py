"""Files of unit scores and classes: our .npz and the pickles of the study's code."""

import functools
import os
import pickle

import numpy as np
import pytest

from results.joint_files import (
    classes_at,
    read_joint,
    read_units,
    save_joint,
    seed_of,
    unit_shares,
)
from utils import DataError

# One unit of each class at 0.5, two without a score, two with one exactly at the threshold.
SCORES = np.array(
    [
        [0.9, 0.1, 0.8, 0.2, np.nan, 0.9, 0.5, 0.5],
        [0.2, 0.7, 0.6, -0.3, 0.9, np.nan, 0.9, 0.1],
        [1.0] * 8,
    ]
)
# Lists of the list before, twice: few bytes, 2 ** 60 numbers.
NESTED = functools.reduce(lambda inner, _: [inner, inner], range(60), [1, 2])
CLASSES = {"0": [0], "1": [1, 6], "2": [2], "3": []}


def save_pickle(path, content):
    path.write_bytes(pickle.dumps(content))
    return path


def as_lists(units):
    return {name: indices.tolist() for name, indices in units.items()}


def softmax_of_units(scores):
    return np.exp(scores.T) / np.exp(scores.T).sum(1, keepdims=True)


# ---- Our files.


def test_what_is_saved_is_read(tmp_path):
    path = tmp_path / "new" / "layer4,sensor_fusion.npz"
    save_joint(path, SCORES, 0.5)
    file = read_units(path)
    assert (file.path, file.stage, file.shares) == (path, "layer4,sensor_fusion", None)
    np.testing.assert_array_equal(file.unit_scores, SCORES)
    assert as_lists(file.units) == {
        "dynamic": [0],
        "static": [1, 6],
        "joint": [2],
        "residual": [3, 7],
        "dead": [4, 5],
    }


def test_the_promised_arrays_are_in_the_file(tmp_path):
    save_joint(tmp_path / "a.npz", np.float32(SCORES), 0.25, seed=3)
    assert seed_of(tmp_path / "a.npz") == 3
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["unit_scores"].dtype == np.float64
        assert arrays["threshold"] == 0.25
        assert arrays["dynamic"].dtype == np.int64
        assert set(arrays.files) == {
            *("unit_scores", "threshold", "seed"),
            *("dynamic", "static", "joint", "residual", "dead"),
        }


def test_scores_of_another_shape_are_not_saved(tmp_path):
    with pytest.raises(ValueError, match=r"shape \[8\], expected \[K, C\]"):
        save_joint(tmp_path / "a.npz", SCORES[0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dead": None}, "has no dead"),
        ({"unit_scores": None}, "has no unit_scores"),
        ({"unit_scores": np.zeros(3)}, "an array [3], expected factors and units"),
        ({"unit_scores": np.zeros((1, 3))}, "unit scores [1, 3]"),
        ({"unit_scores": np.full((3, 2), np.inf)}, "without infinite values"),
        ({"unit_scores": np.array([["a", "b"]])}, "holds no array of numbers"),
        ({"threshold": np.array([0.5, 0.6])}, "the threshold is [0.5 0.6], expected a number"),
        ({"joint": np.array([1])}, "the units listed as joint are not those"),
        ({"threshold": np.array(0.1)}, "not those that the unit scores give at 0.1"),
    ],
    ids=["no class", "no scores", "1-D", "one row", "inf", "text", "thresholds", "class", "other"],
)
def test_a_changed_file_is_refused(changes, words, tmp_path):
    path = tmp_path / "layer1,app_stream.npz"
    save_joint(path, SCORES)
    with np.load(path) as stored:
        arrays = {**stored, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(DataError) as caught:
        read_units(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


# ---- The study's files.


def test_raw_scores_are_read(tmp_path):
    file = read_units(save_pickle(tmp_path / "raw_layer1,sensor_fusion.pkl", SCORES))
    assert file.stage == "layer1,sensor_fusion"
    np.testing.assert_array_equal(file.unit_scores, SCORES)


def test_classes_are_read(tmp_path):
    file = read_units(save_pickle(tmp_path / "layer1,sensor_fusion.pkl", CLASSES))
    assert as_lists(file.units) == {
        "dynamic": [0],
        "static": [1, 6],
        "joint": [2],
        "residual": [],
        "dead": [],
    }
    assert file.unit_scores is None


@pytest.mark.parametrize("kind", [np.asarray, list], ids=["array", "list of arrays"])
def test_shares_are_read(kind, tmp_path):
    shares = softmax_of_units(SCORES)
    file = read_units(save_pickle(tmp_path / "layer1,sensor_fusion.pkl", kind(shares)))
    np.testing.assert_array_equal(file.shares, shares)
    np.testing.assert_array_equal(unit_shares(file), shares)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("raw_a.pkl", CLASSES, "holds no array of numbers"),
        ("raw_a.pkl", SCORES[:1], "unit scores [1, 8]"),
        ("raw_a.pkl", SCORES.T, "unit scores [8, 3]"),
        ("raw_a.pkl", np.zeros((3, 0)), "an array [3, 0]"),
        ("a.pkl", SCORES, "rows do not add up to 1"),
        ("a.pkl", [[0.5], [0.5, 0.5]], "holds no array of numbers"),
        ("a.pkl", {"0": [0], "1": [1]}, "classes 0, 1, expected 0, 1, 2, 3"),
        ("a.pkl", {**CLASSES, "3": [0]}, "a unit is in more than one class"),
        ("a.pkl", {**CLASSES, "3": [-1]}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": [0.5]}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": [[3]]}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": 3}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": [2**63]}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": np.array([2**63], "u8")}, "unit indices from zero"),
        ("a.pkl", {**CLASSES, "3": NESTED}, "unit indices from zero"),
        ("a.pkl", NESTED, "holds no array of numbers"),
        ("raw_a.pkl", [[10**400]] * 3, "holds no array of numbers"),
        ("raw_a.pkl", [np.zeros(1000)] * 1000, "more numbers than the file has bytes"),
        ("a.pkl", "text", "holds no array of numbers"),
    ],
)
def test_pickles_of_other_content_are_refused(name, content, words, tmp_path):
    path = save_pickle(tmp_path / name, content)
    with pytest.raises(DataError) as caught:
        read_units(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


# ---- Classes and shares of either.


def test_classes_at_a_threshold_leave_out_units_as_the_study_did(tmp_path):
    file = read_units(save_pickle(tmp_path / "raw_a.pkl", SCORES))
    assert as_lists(classes_at(file, 0.5)) == {
        "dynamic": [0],
        "static": [1],
        "joint": [2],
        "residual": [3],
        "unclassed": [4, 5, 6, 7],
    }
    assert as_lists(classes_at(file, 0.15))["joint"] == [0, 2, 6]


def test_a_file_of_classes_keeps_them(tmp_path):
    file = read_units(save_pickle(tmp_path / "a.pkl", CLASSES))
    units = as_lists(classes_at(file, 0.9))
    assert units == {
        "dynamic": [0],
        "static": [1, 6],
        "joint": [2],
        "residual": [],
        "unclassed": [],
    }


def test_shares_follow_from_scores(tmp_path):
    file = read_units(save_pickle(tmp_path / "raw_a.pkl", SCORES))
    np.testing.assert_allclose(unit_shares(file), softmax_of_units(SCORES), rtol=1e-14)


def test_what_a_file_does_not_hold_is_refused(tmp_path):
    classes = read_units(save_pickle(tmp_path / "a.pkl", CLASSES))
    with pytest.raises(DataError, match=r"a\.pkl holds classes of units only"):
        unit_shares(classes)
    shares = read_units(save_pickle(tmp_path / "b.pkl", softmax_of_units(SCORES)))
    with pytest.raises(DataError, match=r"b\.pkl holds shares of units"):
        classes_at(shares, 0.5)


# ---- Folders.


def test_a_folder_is_read_in_order_and_raw_scores_go_before_classes(tmp_path):
    save_joint(tmp_path / "layer4,sensor_fusion.npz", SCORES)
    save_pickle(tmp_path / "raw_layer1,sensor_fusion.pkl", SCORES)
    save_pickle(tmp_path / "layer1,sensor_fusion.pkl", CLASSES)
    save_pickle(tmp_path / "conv1,app_stream.pkl", CLASSES)
    (tmp_path / "layer1.png").touch()
    folder = read_joint(tmp_path)
    assert [file.path.name for file in folder.files] == [
        "conv1,app_stream.pkl",
        "layer4,sensor_fusion.npz",
        "raw_layer1,sensor_fusion.pkl",
    ]
    assert folder.notes == (
        "not read, 1 files of classes: their raw_ files say more",
        "not read, 1 not .npz or .pkl: layer1.png",
    )


def test_a_stage_that_two_files_describe_is_refused(tmp_path):
    save_joint(tmp_path / "layer1,sensor_fusion.npz", SCORES)
    save_pickle(tmp_path / "raw_layer1,sensor_fusion.pkl", SCORES)
    with pytest.raises(DataError, match=r"both describe stage layer1,sensor_fusion: move one"):
        read_joint(tmp_path)


@pytest.mark.parametrize("case", ["absent", "a file", "empty"])
def test_a_folder_without_files_is_refused(case, tmp_path):
    folder = tmp_path / "model"
    if case == "a file":
        folder.touch()
    elif case == "empty":
        folder.mkdir()
    with pytest.raises(DataError, match=r"model (is not a folder|holds no \.npz or \.pkl file)"):
        read_joint(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_a_pipe_is_refused_at_once(suffix, tmp_path):
    path = tmp_path / f"layer1{suffix}"
    os.mkfifo(path)
    for read in (read_units, lambda path: read_joint(path.parent), seed_of):
        with pytest.raises(DataError, match=r"layer1\.(npz|pkl) is a pipe or a device"):
            read(path)
