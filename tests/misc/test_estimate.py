"""misc/estimate.py: pairs.npz in, result.json out."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from misc.estimate import main
from tests.helpers_estimation import CASES, golden_case, random_pairs
from utils import UserError

ROOT = Path(__file__).parents[2]
KEYS = ("scores", "dims", "dims_percent", "unit_scores", "joint_encoding")


@pytest.fixture
def files(tmp_path):
    """Paths of the input and of the output."""
    return tmp_path / "pairs.npz", tmp_path / "result.json"


def save_pairs(path, rng, **changes):
    """A file of random pairs, some of its arrays changed or (None) left out."""
    a, b, factor = random_pairs(rng)
    arrays = {"a": a, "b": b, "factor": factor, **changes}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def estimate(files, *options):
    """Run the script in this process; its result, which must hold no NaN."""
    main(["--features", str(files[0]), "--save", str(files[1]), *options])

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    return json.loads(files[1].read_text(), parse_constant=refuse)


@pytest.mark.parametrize("name", CASES)
def test_goldens(name, files):
    case = golden_case(name)
    np.savez(files[0], a=np.float32(case.a), b=np.float32(case.b), factor=case.factor)
    options = [f"--{key}={value}" for key, value in case.options.items()]
    result = estimate(files, *options, "--joint_encoding_thresh", "0.3,0.5,0.7")
    np.testing.assert_allclose(result["scores"], case.expected["layer_scores"], rtol=0, atol=1e-12)
    units = np.array(result["unit_scores"], dtype=float)  # null becomes NaN
    np.testing.assert_allclose(units, case.expected["unit_scores"], rtol=0, atol=1e-11)
    assert result["dims"] == case.expected["dims"].tolist()
    assert result["dims_percent"] == case.expected["dims_percent"].tolist()
    assert list(result["joint_encoding"]) == ["0.3", "0.5", "0.7"]
    for threshold, classes in result["joint_encoding"].items():
        for ours in ("dynamic", "static", "joint"):
            assert classes[ours] == case.expected[f"joint_{threshold}__{ours}"].tolist()
        none = case.expected[f"joint_{threshold}__none"].tolist()
        assert set(none) <= set(classes["residual"])
        assert sorted(itertools.chain(*classes.values())) == list(range(len(units[0])))


def test_result_has_the_promised_keys_and_shapes(files, rng):
    save_pairs(files[0], rng)
    result = estimate(files)
    assert set(KEYS) <= set(result)
    assert result["factors"] == ["dynamic", "static", "residual"]
    assert result["n_pairs"] == [12, 12, 0]
    assert [len(result[key]) for key in ("scores", "shares", "dims", "dims_percent")] == [3] * 4
    assert [len(row) for row in result["unit_scores"]] == [6, 6, 6]
    assert list(result["joint_encoding"]) == ["0.5"]
    assert list(result["joint_encoding"]["0.5"]) == [
        "dynamic",
        "static",
        "joint",
        "residual",
        "dead",
    ]
    assert sum(result["dims"]) == 6


def test_undefined_unit_scores_are_null(files):
    case = golden_case("degenerate")
    np.savez(files[0], a=case.a, b=case.b, factor=case.factor)
    result = estimate(files)
    dynamic, static, residual = result["unit_scores"]
    assert [unit for unit, value in enumerate(dynamic) if value is None] == [10, 11, 12, 13]
    assert [unit for unit, value in enumerate(static) if value is None] == [10, 11, 12]
    assert residual == [1.0] * 16
    assert result["joint_encoding"]["0.5"]["dead"] == [10, 11, 12, 13]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_numbers_of_any_kind_are_taken(dtype, files, rng):
    a, b = (rng.integers(-9, 9, size=(2, 40, 3))).astype(dtype)
    np.savez(files[0], a=a, b=b, factor=np.arange(40, dtype=np.uint8) % 2)
    other = files[0].with_name("float64.npz"), files[1].with_name("float64.json")
    np.savez(other[0], a=a.astype(float), b=b.astype(float), factor=np.arange(40) % 2)
    assert estimate(files) == estimate(other)


def test_more_arrays_do_no_harm(files, rng):
    save_pairs(files[0], rng, stage=np.array("5"))
    assert estimate(files)["n_pairs"] == [12, 12, 0]


def test_numbers_and_file_are_printed_and_a_replaced_file_is_marked(files, rng, capsys):
    save_pairs(files[0], rng)
    result = estimate(files)
    text = capsys.readouterr().out
    assert f"dynamic: score {result['scores'][0]:.4f}, {result['dims'][0]} of 6 units" in text
    assert f"saved: {files[1]}\n" in text
    estimate(files)
    assert f"saved: {files[1]} (replaced)\n" in capsys.readouterr().out


def test_thresholds_that_differ_late_are_kept_apart(files, rng):
    save_pairs(files[0], rng)
    result = estimate(files, "--joint_encoding_thresh", "0.1234561,0.1234562")
    assert len(result["joint_encoding"]) == 2


# ---- Refusals.


def refusal(files, *options):
    with pytest.raises(UserError) as caught:
        estimate(files, *options)
    assert not files[1].exists()
    return str(caught.value)


@pytest.mark.parametrize("name", ["a", "b", "factor"])
def test_missing_array(name, files, rng):
    save_pairs(files[0], rng, **{name: None})
    assert f"has no {name}; found" in refusal(files)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"b": np.zeros((24, 5))}, "a [24, 6], b [24, 5], factor [24]; expected [N, C]"),
        ({"b": np.zeros((23, 6))}, "b [23, 6]"),
        ({"factor": np.zeros(23, int)}, "factor [23]"),
        ({"factor": np.zeros((24, 1), int)}, "factor [24, 1]"),
        ({"a": np.zeros(24), "b": np.zeros(24)}, "a [24], b [24]"),
        ({"a": np.zeros((24, 0)), "b": np.zeros((24, 0))}, "a [24, 0]"),
        ({"factor": np.zeros(24)}, "factor float64; expected numbers and integer factor ids"),
        ({"a": np.full((24, 6), "x")}, "a is <U1"),
        ({"b": np.zeros((24, 6), complex)}, "b complex128"),
    ],
    ids=[
        "units",
        "pairs",
        "labels",
        "2-D labels",
        "vectors",
        "no unit",
        "float labels",
        "text",
        "complex",
    ],
)
def test_arrays_that_do_not_fit(changes, words, files, rng):
    save_pairs(files[0], rng, **changes)
    message = refusal(files)
    assert words in message
    assert "pairs.npz" in message


def test_no_pairs(files):
    np.savez(files[0], a=np.zeros((0, 3)), b=np.zeros((0, 3)), factor=np.zeros(0, int))
    assert "a [0, 3]" in refusal(files)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
@pytest.mark.parametrize("name", ["a", "b"])
def test_values_that_are_not_finite(name, value, files, rng):
    array = rng.normal(size=(24, 6))
    array[17, 4] = value
    save_pairs(files[0], rng, **{name: array})
    message = refusal(files)
    words = [f"{name!r} of pairs.npz", "unit 4", "pair 17", str(value)]
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0] * 24, "factor 1 (static) has 0 pairs"),
        ([0] * 23 + [1], "factor 1 (static) has 1 pairs"),
        ([0, 1, 3] * 8, "factor 3 is out of range"),
        ([0, 1, -1] * 8, "factor -1 is out of range"),
    ],
    ids=["missing", "one pair", "too large", "negative"],
)
def test_labels_that_do_not_fit(labels, words, files, rng):
    save_pairs(files[0], rng, factor=np.array(labels))
    assert words in refusal(files)


def test_constant_features(files):
    np.savez(files[0], a=np.full((8, 3), 0.1), b=np.full((8, 3), 0.1), factor=np.arange(8) % 2)
    assert "every unit is constant" in refusal(files)


@pytest.mark.parametrize("index", ["0", "1", "3"])
def test_residual_index_that_is_no_residual(index, files, rng):
    save_pairs(files[0], rng)
    assert f"`residual_index` {index} with `n_factors` 3" in refusal(
        files, "--residual_index", index
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("absent", "does not exist"),
        ("folder", "is a folder, expected a file"),
        *((case, "is not a whole .npz file") for case in ("text", "cut", "npy")),
        ("objects", "is not a readable .npz file"),
    ],
)
def test_file_that_is_no_npz(case, words, files, rng):
    path = files[0]
    if case == "folder":
        path.mkdir()
    elif case == "text":
        path.write_text("a,b,factor\n1,2,0\n")
    elif case == "cut":
        save_pairs(path, rng)
        path.write_bytes(path.read_bytes()[:-300])
    elif case == "npy":
        with path.open("wb") as file:
            np.save(file, np.zeros((3, 3)))
    elif case == "objects":
        save_pairs(path, rng, a=np.array([[None] * 6] * 24))
    assert f"pairs.npz {words}" in refusal(files)


@pytest.mark.parametrize("option", [["--joint_encoding_thresh", "1.5"], ["--n_factors", "x"], []])
def test_bad_option_exits_with_2(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--features", "pairs.npz", *option])
    assert caught.value.code == 2
    assert "error:" in capsys.readouterr().err


def run_script(*options):
    command = [sys.executable, str(ROOT / "misc" / "estimate.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")


def test_command_from_another_folder(files, rng):
    save_pairs(files[0], rng)
    done = run_script("--features", files[0], "--save", files[1])
    assert (done.returncode, done.stderr) == (0, "")
    assert set(KEYS) <= set(json.loads(files[1].read_text()))


def test_user_error_has_exit_code_2_and_no_traceback(files, rng):
    save_pairs(files[0], rng, factor=None)
    done = run_script("--features", files[0], "--save", files[1])
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "has no factor" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("case", ["folder", "below a file"])
def test_output_that_cannot_be_written_is_a_user_error(case, files, rng, tmp_path):
    save_pairs(files[0], rng)
    (tmp_path / "folder").mkdir()
    save = tmp_path / "folder" if case == "folder" else files[0] / "result.json"
    with pytest.raises(UserError, match="`save`"):
        main(["--features", str(files[0]), "--save", str(save)])


@pytest.mark.parametrize("link", [False, True])
def test_the_input_is_not_replaced(files, rng, link):
    save_pairs(files[0], rng)
    before, save = files[0].read_bytes(), files[0]
    if link:
        save = files[1]
        save.symlink_to(files[0])
    with pytest.raises(UserError, match=rf"`save` {save} is a file that is read: give another"):
        estimate((files[0], save))
    assert files[0].read_bytes() == before
