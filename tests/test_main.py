"""Whole runs on a tiny data set: what is written, and what the numbers may not depend on."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import main
from common.factors import FACTORS
from config import Config
from datasets.taken_frames import permutation, subsample
from main import Outcome
from measure.prepare import prepare
from models.catalogue import find
from tests import helpers_runs
from tests.helpers import assert_close
from tests.helpers_runs import VIDEOS, Forwards, as_argv, computed, options, read_rows

data = helpers_runs.videos
without_figures = helpers_runs.without_figures  # but `run`, which is made before
STAGES = ("1", "2", "3", "4", "5")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Outcome:
    """A finished run of all stages, two passes over the videos."""
    save_dir = tmp_path_factory.mktemp("runs")
    chosen = options(data, save_dir, stg="all", n_examples=20, joint_encoding_thresh=(0.2, 0.5))
    return main.measure(Config(**chosen, run_name="reference"))


def features(data: Path, save_dir: Path, **more) -> dict[str, np.ndarray]:
    """The features of a new run, by stage, without estimates and figures."""
    return computed(prepare(Config(**options(data, save_dir, **more))))[1]


class TestFolder:
    def test_every_file_is_there(self, run):
        names = {path.name for path in run.folder.iterdir()}
        shown = ("parts", "layerwise", "joint_encoding")
        figures = {f"{name}.{ext}" for name in shown for ext in ("png", "pdf")}
        tables = {f"{name}.csv" for name in ("estimates", "layerwise", "units", "joint_encoding")}
        tables |= {"demo_motion_dim_est.csv"}
        assert names == figures | tables | {"plan.csv", "config.json", "features"}
        assert [path.name for path in run.figures] == [f"{name}.png" for name in shown]
        for path in run.folder.glob("*.png"):
            with Image.open(path) as figure:
                assert figure.width > 300

    def test_config_is_the_resolved_one(self, run, data):
        record = json.loads((run.folder / "config.json").read_text())
        assert record["options"]["stylized_data_dir"] == str(data)
        assert record["options"]["random_seed"] == 1
        assert record["options"]["n_examples"] == 20
        assert record["weights"] == "random"
        assert record["checkpoint"]["source"] == "random"
        assert record["device"] == "cpu"
        assert record["stages"] == list(STAGES)
        assert (record["clip"]["crop"], record["clip"]["window"]) == (32, 16)
        assert {"python", "torch", "numpy"} <= set(record["versions"])

    def test_store_holds_a_row_per_distinct_clip(self, run):
        clips = read_rows(run.folder / "features" / "clips.csv")
        plan = read_rows(run.folder / "plan.csv")
        keys = ("video", "style", "start", "shuffle")
        listed = [tuple(clip[k] for k in keys) for clip in clips]
        planned = {tuple(row[f"{k}_{side}"] for k in keys) for row in plan for side in "ab"}
        assert len(plan) == 20 + 10  # with a different pair of every draw
        assert len(listed) == len(planned) < 60
        assert set(listed) == planned

    def test_random_weights_are_marked_in_every_result(self, run):
        for name in ("layerwise", "units", "joint_encoding"):
            assert {row["weights"] for row in read_rows(run.folder / f"{name}.csv")} == {"random"}
        assert "random weights" in run.results.title


def oracle(
    folder: Path, stage: str, scored: Sequence[str] = ("dynamic", "static")
) -> dict[str, dict]:
    """Scores of a stage from the files of a run, value by value, by the formulas of the study."""
    keys = ("video", "style", "start", "shuffle")
    clips = [tuple(c[k] for k in keys) for c in read_rows(folder / "features" / "clips.csv")]
    x = np.load(folder / "features" / f"{stage}.npy").astype(float)
    members = defaultdict(lambda: ([], []))
    for row in read_rows(folder / "plan.csv"):
        if row["factor"] not in scored:
            continue
        for side, values in zip("ab", members[row["factor"]], strict=True):
            values.append(x[clips.index(tuple(row[f"{k}_{side}"] for k in keys))])
    everything = [v for a, b in members.values() for v in a + b]
    mean = sum(everything) / len(everything)
    total = sum(sum((v - mean) ** 2) for v in everything) / len(everything)
    result = {}
    for factor, (a, b) in members.items():
        m = (sum(a) + sum(b)) / (2 * len(a))
        covariance = sum((p - m) * (q - m) for p, q in zip(a, b, strict=True)) / len(a)
        variance = sum((v - m) ** 2 for v in a + b) / (2 * len(a))
        units = [c / v if v > 0 else np.nan for c, v in zip(covariance, variance, strict=True)]
        result[factor] = {"score": sum(covariance) / total, "units": units, "n": len(a)}
    return result


class TestTables:
    @pytest.mark.parametrize("stage", STAGES)
    def test_layerwise_recomputed_from_the_store(self, run, stage):
        rows = [r for r in read_rows(run.folder / "layerwise.csv") if r["stage"] == stage]
        assert [row["factor"] for row in rows] == ["dynamic", "static", "residual"]
        slow = oracle(run.folder, stage)
        scores = [slow["dynamic"]["score"], slow["static"]["score"], 1.0]
        shares = np.exp(scores) / sum(np.exp(scores))
        n_units = 8 if stage == "1" else 8 * 2 ** int(stage)
        dims = [int(share * n_units) for share in shares[:2]]
        dims.append(n_units - sum(dims))
        for row, score, share, dim, n in zip(rows, scores, shares, dims, [10, 10, 0], strict=True):
            assert float(row["score"]) == pytest.approx(score, abs=1e-9)
            assert float(row["share_percent"]) == pytest.approx(100 * share, abs=1e-7)
            assert int(row["dims"]) == dim
            assert float(row["dims_percent"]) == round(100 * dim / n_units, 1)
            assert int(row["n_pairs"]) == n
            assert int(row["n_units"]) == n_units
            assert (row["model"], row["dataset"], row["path"]) == ("demo_motion", "plain", "")

    @pytest.mark.parametrize("stage", ["1", "5"])
    def test_units_recomputed_from_the_store(self, run, stage):
        rows = [r for r in read_rows(run.folder / "units.csv") if r["stage"] == stage]
        slow = oracle(run.folder, stage)
        assert [int(row["unit"]) for row in rows] == list(range(len(slow["static"]["units"])))
        for row in rows:
            scores = {}
            for factor in ("dynamic", "static"):
                expected = slow[factor]["units"][int(row["unit"])]
                assert bool(row[f"score_{factor}"]) == (not np.isnan(expected))
                if row[f"score_{factor}"]:
                    scores[factor] = float(row[f"score_{factor}"])
                    assert scores[factor] == pytest.approx(expected, abs=1e-6)
            for threshold in (0.2, 0.5):
                above = {factor for factor, score in scores.items() if score > threshold}
                named = {0: "residual", 1: next(iter(above), ""), 2: "joint"}[len(above)]
                assert row[f"class_at_{threshold}"] == (named if len(scores) == 2 else "dead")

    def test_joint_encoding_counts_the_units(self, run):
        units = read_rows(run.folder / "units.csv")
        for row in read_rows(run.folder / "joint_encoding.csv"):
            own = [u for u in units if u["stage"] == row["stage"]]
            counts = Counter(u[f"class_at_{row['threshold']}"] for u in own)
            assert int(row["units"]) == counts[row["class"]]
            assert float(row["percent"]) == round(100 * counts[row["class"]] / len(own), 2)

    def test_file_of_the_study_has_dims_and_percent_of_the_last_stage(self, run):
        last = [r for r in read_rows(run.folder / "layerwise.csv") if r["stage"] == "5"]
        text = (run.folder / "demo_motion_dim_est.csv").read_text().splitlines()
        assert text[0] == ",".join(row["dims"] for row in last)
        assert text[1] == ",".join(row["dims_percent"] for row in last)
        assert len(text) == 2


def test_features_are_those_of_the_network_on_the_frames(run, data):
    """From the PNG files to a row of the store, by hand."""
    network = find("demo_motion")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = network.module()
    lasts: dict[str, torch.Tensor] = {}
    for stage in STAGES:
        module.get_submodule(f"s{stage}").register_forward_hook(
            lambda _, __, out, stage=stage: lasts.update({stage: out[0].mean((2, 3, 4))})
        )
    clips = read_rows(run.folder / "features" / "clips.csv")
    for row in (0, 7, len(clips) - 1):
        clip = {k: clips[row][k] for k in ("video", "style")}
        start, shuffle = int(clips[row]["start"]), int(clips[row]["shuffle"])
        span = range(start, min(start + 16, VIDEOS[clip["video"]]))
        window = list(itertools.islice(itertools.cycle(span), 16))
        positions = [window[i] for i in subsample(16, 8)]
        folder = data / f"style_{clip['style']}" / clip["video"]
        frames = [np.asarray(Image.open(folder / f"{p + 1:06d}.png")) for p in positions]
        x = (np.stack(frames)[:, :, 4:36] / 255 - 0.45) / 0.225  # 40 columns, 32 in the middle
        x = torch.from_numpy(x).float().permute(3, 0, 1, 2)[None]
        with torch.inference_mode():
            module(x[:, :, permutation(shuffle, 0, 8)])
        for stage in STAGES:
            stored = np.load(run.folder / "features" / f"{stage}.npy")[row]
            assert_close(lasts[stage][0], stored)


@pytest.fixture(scope="module")
def reference(data, tmp_path_factory) -> dict[str, np.ndarray]:
    """The features of a run with the defaults, at all stages."""
    return features(data, tmp_path_factory.mktemp("reference"), stg="all")


class TestInvariance:
    def test_all_stages_equal_a_run_per_stage_bit_for_bit(self, data, tmp_path, reference):
        for stage in STAGES:
            alone = features(data, tmp_path, stg=stage, run_name=stage)
            assert list(alone) == [stage]
            assert np.array_equal(alone[stage], reference[stage])

    @pytest.mark.parametrize(
        "more", [{"batch_size": 1}, {"batch_size": 4, "num_workers": 2}], ids=["one", "workers"]
    )
    def test_batch_size_and_workers_change_neither_plan_nor_numbers(
        self, data, tmp_path, reference, more
    ):
        found = features(data, tmp_path, stg="all", run_name="other", **more)
        for stage in STAGES:
            assert_close(found[stage], reference[stage])

    def test_same_command_same_results_other_seed_others(self, data, tmp_path):
        one, two, other = (
            main.measure(Config(**options(data, tmp_path, random_seed=seed, run_name=name)))
            for name, seed in (("one", 3), ("two", 3), ("other", 4))
        )
        for name in ("plan.csv", "layerwise.csv", "units.csv"):
            first, again, third = ((o.folder / name).read_bytes() for o in (one, two, other))
            assert first == again
            assert first != third

    def test_plan_given_back_gives_identical_numbers(self, data, tmp_path, run):
        chosen = options(data, tmp_path, stg="all", pairs=run.folder / "plan.csv")
        again = main.measure(Config(**chosen, joint_encoding_thresh=(0.2, 0.5), run_name="again"))
        for name in ("plan.csv", "layerwise.csv", "units.csv", "joint_encoding.csv"):
            assert (again.folder / name).read_bytes() == (run.folder / name).read_bytes()


def test_each_distinct_clip_is_computed_once(data, tmp_path, monkeypatch):
    forwards = Forwards(monkeypatch)
    features(data, tmp_path, stg="all", batch_size=4)
    # 5 videos: an anchor and its other style, in order and shuffled.
    assert forwards.sizes == [4, 4, 4, 4, 4]


def test_summary_names_what_was_measured_and_where_it_is(data, tmp_path, capsys):
    chosen = options(data, tmp_path, stg="4,5", run_name="shown", joint_encoding=True)
    main.main(as_argv(chosen))
    shown = capsys.readouterr().out
    counts = "15 pairs (5 dynamic, 5 static, 5 different), 20 distinct clips"
    for words in ("demo_motion", "random", counts):
        assert words in shown
    tables = ("dynamic score", "static only", "joint encoding, unit scores above 0.5")
    places = [shown.index(words) for words in tables]
    assert places == sorted(places)
    assert "demo_motion (random weights) on plain, 5 videos, 95 % intervals:" in shown
    assert "intervals from 5 videos are wide" in shown
    assert "`" not in shown  # messages speak of options here, not of fields
    assert f"tables:  {tmp_path / 'shown'}\n" in shown
    # What is shown of classes is also asked for as files in segmentation, and there alone.
    assert [path.name for path in tmp_path.iterdir()] == ["shown"]
    assert "study:" not in shown
    figures = [
        f"{tmp_path / 'shown' / name}.png" for name in ("parts", "layerwise", "joint_encoding")
    ]
    assert f"figures: {', '.join(figures)}\n" in shown
    main.main(as_argv(options(data, tmp_path, run_name="second")))
    assert "joint encoding, unit" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "units"), [("slow", 80), ("fast", 8), ("cat", 88)], ids=["slow", "fast", "both"]
)
def test_slowfast_pathways(data, tmp_path, path, units):
    few = {"n_examples": 4, "parts": False}
    chosen = {"model": "slowfast_r50_4x16", "stg": "1", "path": path, **few}
    found = features(data, tmp_path, **chosen)
    assert found["1"].shape == (6, units)
    if path != "fast":
        apart = features(data, tmp_path, **chosen, fuse=False, run_name="apart")
        assert apart["1"].shape == (6, units - 16)
        assert_close(apart["1"][:, :64], found["1"][:, :64], 1e-5)


@pytest.mark.parametrize("parts", [True, False])
def test_factors_of_the_plan_follow_the_residual(data, tmp_path, parts):
    for n_factors, residual, expected in [
        (3, 2, {0, 1}),
        (4, -1, {0, 1, 2, 3}),
        (4, 2, {0, 1, 3}),
        (4, 3, {0, 1, 2}),
        (2, -1, {0, 1}),
    ]:
        chosen = options(data, tmp_path, n_factors=n_factors, residual_index=residual, parts=parts)
        found = {pair.factor for pair in prepare(Config(**chosen)).plan.pairs}
        assert found == (expected | {2} if parts else expected)


@pytest.mark.parametrize("pairing", ["anchored", "crossed", "exhaustive"])
def test_published_numbers_are_those_without_different_pairs(data, tmp_path, pairing):
    found = [
        main.measure(Config(**options(data, tmp_path, stg="all", pairing=pairing, parts=parts)))
        for parts in (True, False)
    ]
    assert [o.folder.name[-1] for o in found] == ["1", "2"]  # two runs, not one that goes on
    with_parts, without = (o.results.estimates for o in found)
    for stage, estimate in without.items():
        own = with_parts[stage]
        for name in ("scores", "shares", "unit_scores"):
            # Clips are in other batches, so that features may be rounded otherwise.
            np.testing.assert_allclose(getattr(own, name), getattr(estimate, name), 1e-4, 1e-5)
        assert (own.dims, own.n_pairs) == (estimate.dims, estimate.n_pairs)
        assert own.total_variance == pytest.approx(estimate.total_variance, rel=1e-6)
    for name in ("layerwise.csv", "units.csv", "joint_encoding.csv"):
        for own, expected in zip(*(read_rows(o.folder / name) for o in found), strict=True):
            for column, cell in expected.items():  # intervals and adjusted scores among them
                if cell and own[column] != cell:
                    assert float(own[column]) == pytest.approx(float(cell), rel=1e-4, abs=1e-5), (
                        column
                    )
            new = {column for column in own if own[column] and not expected.get(column)}
            assert all(column.startswith(("part_", "adjusted_different")) for column in new)


def test_four_factors(data, tmp_path):
    chosen = options(data, tmp_path, stg="5", n_factors=4, residual_index=-1)
    outcome = main.measure(Config(**chosen))
    rows = read_rows(outcome.folder / "layerwise.csv")
    assert [row["factor"] for row in rows] == ["dynamic", "static", "different", "same"]
    slow = oracle(outcome.folder, "5", FACTORS)
    for row in rows:
        assert float(row["score"]) == pytest.approx(slow[row["factor"]]["score"], abs=1e-9)
    # A clip and itself: each unit's score is 1.
    same = {row["score_same"] for row in read_rows(outcome.folder / "units.csv")} - {""}
    assert {round(float(score), 9) for score in same} == {1.0}
