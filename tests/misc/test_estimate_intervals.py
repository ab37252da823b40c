"""misc/estimate.py with videos and styles: what stands beside the published numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from common.npz import open_npz
from misc.estimate import main
from results.tables import with_interval
from utils import DataError

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
GOLDENS = ("golden_statistics.npz", "golden_statistics_anchored.npz")
ARRAYS = ("a", "b", "factor", "video", "style_a", "style_b")
BESIDE = {
    *("n_videos", "confidence", "chance", "adjusted", "adjusted_units", "decomposition"),
    *("decomposition_units", "intervals", "corrected", "style_range", "p_value_units"),
    *("q_value_units", "q_value_by_units"),
}


@pytest.fixture
def files(tmp_path):
    """Paths of the input and of the output."""
    return tmp_path / "pairs.npz", tmp_path / "result.json"


def golden(name=GOLDENS[0]):
    """The arrays of a golden file that make pairs."""
    stored = open_npz(DATA / name)
    return {key: stored[key] for key in ARRAYS}


def estimate(files, arrays, *options):
    """The result of the script on some arrays (None: left out), which must hold no NaN."""
    np.savez(files[0], **{name: array for name, array in arrays.items() if array is not None})
    main(["--features", str(files[0]), "--save", str(files[1]), *options])

    def refuse(text):
        raise AssertionError(f"{text} is no JSON")

    return json.loads(files[1].read_text(), parse_constant=refuse)


def numbers(tree):
    """A tree of lists as an array, null as NaN."""
    return np.array(tree, dtype=float)


def at(result, path):
    """The entry of a tree by its names, joined by slashes."""
    for name in path.split("/"):
        result = result[name]
    return numbers(result)


def video_of(arrays, first):
    """The pairs of the first videos alone."""
    kept = np.isin(arrays["video"], np.unique(arrays["video"])[:first])
    return {name: array[kept] for name, array in arrays.items()}


@pytest.mark.parametrize("name", GOLDENS)
def test_goldens(files, name):
    stored = open_npz(DATA / name)
    result = estimate(files, {key: stored[key] for key in ARRAYS})
    paths = [key.removeprefix("golden/") for key in stored if key.startswith("golden/")]
    assert len(paths) == 20
    for path in paths:
        value, corrected, lo, hi = stored[f"golden/{path}"]
        np.testing.assert_allclose(at(result, path), value, rtol=0, atol=1e-9)
        np.testing.assert_allclose(at(result["corrected"], path), corrected, rtol=0, atol=1e-9)
        ends = np.stack([lo, hi], -1)
        np.testing.assert_allclose(at(result["intervals"], path), ends, rtol=0, atol=1e-8)


def test_result_has_the_promised_trees(files):
    arrays = golden()
    result = estimate(files, arrays)
    assert set(result) >= BESIDE
    assert result["n_videos"] == 9
    assert result["confidence"] == 0.95
    assert result["n_pairs"][2] == 0  # different pairs are for the parts alone
    units = arrays["a"].shape[1]
    parts = ("static_only", "dynamic_only", "both", "neither")
    assert tuple(result["decomposition"]) == tuple(result["decomposition_units"]) == parts
    assert sum(result["decomposition"].values()) == pytest.approx(1)
    assert {len(row) for row in result["decomposition_units"].values()} == {units}
    for key in ("chance", "adjusted", "adjusted_units"):
        assert list(result[key]) == ["dynamic", "static", "different"]
    for key in ("p_value_units", "q_value_units", "q_value_by_units"):
        assert {name: len(row) for name, row in result[key].items()} == {
            "dynamic": units,
            "static": units,
        }
    for tree in ("intervals", "corrected"):
        assert list(result[tree]) == [
            *("chance", "adjusted", "adjusted_units", "decomposition", "decomposition_units"),
            *("scores", "shares", "unit_scores"),
        ]
    for name, (low, high) in result["style_range"]["adjusted"].items():
        assert low <= high, name
    assert list(result["style_range"]["decomposition"]) == list(parts)


def test_q_values_are_false_discovery_rates_over_units(files):
    from scipy.stats import false_discovery_control

    result = estimate(files, golden())
    for key, method in (("q_value_units", "bh"), ("q_value_by_units", "by")):
        for name, p in result["p_value_units"].items():
            expected = false_discovery_control(p, method=method)
            np.testing.assert_allclose(result[key][name], expected)


def test_published_numbers_need_no_videos_and_no_different_pairs(files):
    arrays = golden()
    full = estimate(files, arrays)
    scored = {name: array[arrays["factor"] < 2] for name, array in arrays.items()}
    plain = estimate(files, {**scored, "video": None, "style_a": None, "style_b": None})
    assert not BESIDE & set(plain)
    for key in ("factors", "n_pairs", "dims", "dims_percent", "joint_encoding"):
        assert plain[key] == full[key]
    for key in ("scores", "shares", "unit_scores", "total_variance"):
        np.testing.assert_allclose(numbers(plain[key]), numbers(full[key]), rtol=1e-12)


@pytest.mark.parametrize("case", ["texts", "bytes", "mixed lengths", "uint8"])
def test_names_of_any_kind_are_taken(files, case):
    arrays = golden()
    expected = estimate(files, arrays)
    as_names = {
        "texts": lambda x: np.char.add("name ", x.astype(str)),
        "bytes": lambda x: np.char.encode(np.char.add("n\u00e4me ", x.astype(str)), "utf-8"),
        "mixed lengths": lambda x: np.char.multiply("x", x + 1),
        "uint8": lambda x: x.astype(np.uint8),
    }[case]
    shown = {name: as_names(arrays[name]) for name in ARRAYS[3:]}
    result = estimate(files, {**arrays, **shown})
    assert result["n_videos"] == 9
    np.testing.assert_allclose(
        numbers(result["intervals"]["unit_scores"]),
        numbers(expected["intervals"]["unit_scores"]),
        rtol=1e-9,
        atol=1e-12,
    )
    np.testing.assert_allclose(
        numbers([*result["adjusted"].values()]), numbers([*expected["adjusted"].values()])
    )


def test_confidence_is_that_of_the_intervals(files):
    arrays = golden()
    wide = estimate(files, arrays, "--confidence", "0.99")
    narrow = estimate(files, arrays, "--confidence", "0.5")
    assert (wide["confidence"], narrow["confidence"]) == (0.99, 0.5)
    ends = [numbers(x["intervals"]["adjusted"]["static"]) for x in (wide, narrow)]
    assert ends[0][0] < ends[1][0] < ends[1][1] < ends[0][1]


def test_without_different_pairs_there_are_no_parts(files):
    arrays = golden()
    scored = {name: array[arrays["factor"] < 2] for name, array in arrays.items()}
    result = estimate(files, scored)
    assert list(result["adjusted"]) == ["dynamic", "static"]
    assert set(result["decomposition"].values()) == {None}
    assert set(result["decomposition_units"]["both"]) == {None}
    assert result["intervals"]["decomposition"]["neither"] == [None, None]


def test_dead_units_have_nulls(files):
    arrays = golden()
    for name in "ab":
        arrays[name] = arrays[name].copy()
        arrays[name][:, 3] = 0.5
    result = estimate(files, arrays)
    for tree in ("adjusted_units", "p_value_units", "q_value_units", "q_value_by_units"):
        assert result[tree]["static"][3] is None
        assert result[tree]["static"][4] is not None
    assert result["intervals"]["unit_scores"][0][3] == [None, None]


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        (2, "\nno intervals: they come from leaving out one video at a time, of 3 or more"),
        (5, "\nintervals from 5 videos are wide"),
        (8, ""),
    ],
)
def test_lines_on_the_screen(files, capsys, videos, said):
    result = estimate(files, video_of(golden(), videos))
    text = capsys.readouterr().out
    assert f"\nvideos: {videos}\n" in text
    assert said in text
    assert ("are wide" in text) == (videos == 5)
    lo, hi = result["intervals"]["scores"][1]
    score = result["scores"][1]
    shown = f"{score:.4f}" if videos < 3 else with_interval(score, lo, hi)
    assert f"static: score {shown}, " in text
    assert "residual: score 1.0000, " in text
    assert (lo is None) == (videos < 3)


# ---- Refusals.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"video": None}, "has style_a, style_b, but no video: intervals need all of"),
        ({"style_a": None, "style_b": None}, "has video, but no style_a, style_b"),
        ({"video": np.zeros(3, int)}, "video [3], factor [198]; expected one for each pair"),
        ({"style_b": np.zeros((198, 1), int)}, "style_b [198, 1]"),
        ({"video": np.zeros(198)}, "is float64; expected texts or integers"),
        ({"video": np.zeros(198, bool)}, "is bool; expected texts or integers"),
        ({"style_a": np.full(198, "1")}, "style_a is <U1, style_b int64; expected both"),
        ({"video": np.full(198, b"\xff")}, "is no UTF-8 text"),
    ],
    ids=["no video", "no styles", "short", "2-D", "floats", "booleans", "two kinds", "bytes"],
)
def test_arrays_that_do_not_fit(files, changes, words):
    with pytest.raises(DataError) as caught:
        estimate(files, {**golden(), **changes})
    assert words in str(caught.value)
    assert "pairs.npz" in str(caught.value)
    assert not files[1].exists()


# Prints the most memory that its process had, in KiB; getrusage has that of the parent in it.
PEAK = """
import sys
from pathlib import Path

sys.path[:0] = [".", "misc"]
from misc.estimate import main

main(sys.argv[1:])
print(*[x.split()[1] for x in Path("/proc/self/status").read_text().split("\\n") if "VmHWM" in x])
"""


def peak(folder, n_pairs):
    """Megabytes that the script takes for so many pairs of 1,000 units, 8 kB each."""
    rng = np.random.default_rng(0)
    draw, factor = np.arange(n_pairs) // 3, np.arange(n_pairs) % 3
    style_a = draw % 2  # with more of them, style_range takes its time
    style_b = np.where(factor == 1, style_a, 1 - style_a)
    features = {x: rng.standard_normal((n_pairs, 1000), dtype=np.float32) for x in "ab"}
    shown = {"video": draw % 50, "style_a": style_a, "style_b": style_b}
    np.savez(folder / "pairs.npz", **features, factor=factor, **shown)
    given = ["--features", str(folder / "pairs.npz"), "--save", str(folder / "result.json")]
    command = [sys.executable, "-c", PEAK, *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout.split()[-1]) / 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 160 MB takes less than half of that beyond what one of 8 MB takes."""
    small, large = (peak(tmp_path, n_pairs) for n_pairs in (1_000, 20_000))
    assert large - small < 80, (small, large)
