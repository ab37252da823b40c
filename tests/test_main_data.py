"""Runs on every layout, with other kinds of pairs, and with weights from a file."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from common.factors import DYNAMIC, STATIC
from config import Config, load_config
from datasets.videos import UNSTYLIZED
from measure.prepare import prepare
from models.catalogue import find
from tests import helpers_runs
from tests.datasets.helpers import noise, write_frames
from tests.helpers import assert_close
from tests.helpers_runs import as_argv, computed, contents, options, read_rows
from utils import UserError

data = helpers_runs.videos
without_figures = helpers_runs.without_figures


def activitynet(root: Path) -> None:
    entries = {}
    for index, video in enumerate("pqr"):
        for style in "123":
            write_frames(root / f"style_{style}" / f"v_{video}", noise(40, index), "{:06d}.jpg")
        segments = [{"segment": [1.5, 7.9], "label": f"class {index // 2}"}]
        entries[video] = {"subset": "validation", "annotations": segments}
    (root / "activitynet_v13.json").write_text(json.dumps({"database": entries}))


def ssv2(root: Path) -> None:
    entries = []
    for index, video in enumerate(("101", "102", "103")):
        for style in "123":
            write_frames(root / f"style_{style}" / video, noise(20, index), "{:06d}.jpg")
        entries.append({"id": video, "template": f"Class [{index // 2}]"})
    (root / "something-something-v2-validation.json").write_text(json.dumps(entries))
    labels = {"Class 0": "0", "Class 1": "1"}
    (root / "something-something-v2-labels.json").write_text(json.dumps(labels))


def diving48(root: Path) -> None:
    entries = []
    for index, video in enumerate("xyz"):
        for style in "123":
            folder = root / f"style_{style}" / video
            write_frames(folder, noise(20, index), "image_{:05d}.jpg", first=0)
        entries.append({"vid_name": video, "start_frame": 5, "end_frame": 25, "label": index // 2})
    (root / "Diving48_V2_test.json").write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("dataset", "write", "starts"),
    [
        pytest.param("StylizedActivityNet", activitynet, {7}, id="ActivityNet: floor(1.5 * 5)"),
        pytest.param("ssv2", ssv2, set(range(5)), id="SSv2: 20 frames, windows of 16"),
        pytest.param("Diving48", diving48, set(range(5)), id="Diving48: 20 frames, windows of 16"),
    ],
)
def test_layout_of_the_study(tmp_path, dataset, write, starts):
    write(tmp_path / "set")
    for path in (tmp_path / "set").rglob("*.jpg"):  # the same pixels, not the same files
        path.write_bytes(path.read_bytes() + path.parts[-3].encode())
    chosen = options(tmp_path / "set", tmp_path, dataset=dataset, n_examples=60)
    plan = prepare(Config(**chosen))
    assert {clip.start for clip in plan.rows} == starts
    _, found = computed(plan)
    assert found["5"].shape == (len(plan.rows), 256)
    # The styles of these sets are copies, so a clip's features do not depend on its style.
    shown = {}
    for clip, (row,) in plan.rows.items():
        if clip.shuffle == 0:
            key = (clip.video, clip.start)
            assert_close(found["5"][row], shown.setdefault(key, found["5"][row]))

    # Two videos of one class and one of another, which has no partner and is left out.
    mates = prepare(Config(**{**chosen, "m_same": False}))
    assert mates.data.listed.left_out == {"alone in their class (`m_same` False)": 1}
    assert len(mates.data.listed.videos) == 2
    for pair in mates.plan.pairs:
        assert (pair.a.video != pair.b.video) == (pair.factor == DYNAMIC)
    alike = prepare(Config(**{**chosen, "app_shuffle": False}))
    label = {name: video.label for name, video in alike.data.listed.videos.items()}
    for pair in alike.plan.pairs:
        assert (label[pair.a.video] == label[pair.b.video]) == (pair.factor == DYNAMIC)


def test_unstylized_static_pairs(data, tmp_path):
    (tmp_path / "set").mkdir()
    for style in "12":
        shutil.copytree(data / f"style_{style}", tmp_path / "set" / f"style_{style}")
    shutil.copytree(data / "style_3", tmp_path / "set" / "original")
    chosen = options(tmp_path / "set", tmp_path, styles=("1", "2"), use_normal_app=True)
    plan = prepare(Config(**chosen))
    assert all((pair.a.style == UNSTYLIZED) == (pair.factor == STATIC) for pair in plan.plan.pairs)
    folder, found = computed(plan)

    # The same clips, when these videos are a style: `original` is read where it should be.
    lines = (folder / "plan.csv").read_text().replace(UNSTYLIZED, "3")
    (tmp_path / "plan.csv").write_text(lines)
    chosen = options(data, tmp_path, pairs=tmp_path / "plan.csv", run_name="styles")
    _, expected = computed(prepare(Config(**chosen)))
    assert_close(found["5"], expected["5"])

    # A plan that shows unstylized videos needs to be told that they are there.
    chosen = options(tmp_path / "set", tmp_path, styles=("1", "2"), pairs=folder / "plan.csv")
    with pytest.raises(UserError, match=r"plan\.csv, line 3: .*need `use_normal_app` True"):
        prepare(Config(**chosen))
    _, again = computed(prepare(Config(**chosen, use_normal_app=True, run_name="again")))
    np.testing.assert_array_equal(again["5"], found["5"])

    # Another folder of unstylized videos, and the run's options kept for its resumption.
    chosen = options(data, tmp_path, use_normal_app=True, normal_data_dir=data / "style_3")
    folder, other = computed(prepare(Config(**chosen, run_name="elsewhere")))
    assert np.isfinite(other["5"]).all()
    main.main(["--resume", str(folder)])


class TestGivenPlan:
    """`pairs`: the plan of another run."""

    @pytest.fixture
    def plan(self, data, tmp_path) -> Path:
        prepare(Config(**options(data, tmp_path))).plan.write(tmp_path / "plan.csv")
        return tmp_path / "plan.csv"

    def test_unstylized_videos_that_it_does_not_show_are_refused(self, data, tmp_path, plan):
        chosen = options(data, tmp_path, pairs=plan, use_normal_app=True)
        words = r"`use_normal_app` True: .*plan\.csv shows stylized videos alone; leave it out"
        with pytest.raises(UserError, match=words):
            prepare(Config(**chosen, normal_data_dir=data / "style_3"))

    def test_its_own_number_of_pairs_may_be_said(self, data, tmp_path, plan):
        chosen = options(data, tmp_path, pairs=plan)
        said = prepare(load_config(as_argv({**chosen, "n_examples": 10})))
        assert said.plan == prepare(load_config(as_argv(chosen))).plan
        assert Counter(pair.factor for pair in said.plan.pairs) == {0: 5, 1: 5, 2: 5}

    @pytest.mark.parametrize("n", [9, 11])
    def test_another_number_of_pairs_is_refused(self, data, tmp_path, plan, n):
        words = rf"`n_examples` {n}: the plan .*plan\.csv has 10 scored pairs; leave it out"
        with pytest.raises(UserError, match=words):
            prepare(load_config(as_argv(options(data, tmp_path, pairs=plan, n_examples=n))))

    def test_its_different_pairs_may_be_left_out(self, data, tmp_path, plan):
        run = prepare(Config(**options(data, tmp_path, pairs=plan, parts=False)))
        sampled = prepare(Config(**options(data, tmp_path, parts=False))).plan
        assert run.plan.pairs == sampled.pairs
        assert (len(run.plan.pairs), len(run.rows), run.plan.given) == (10, 15, True)

    def test_its_different_pairs_stay_where_they_are_scored(self, data, tmp_path, plan):
        scored = {"n_factors": 4, "residual_index": 3}
        run = prepare(Config(**options(data, tmp_path, pairs=plan, parts=False, **scored)))
        assert Counter(pair.factor for pair in run.plan.pairs) == {0: 5, 1: 5, 2: 5}

    def test_plan_without_different_pairs_is_taken_as_it_is(self, data, tmp_path):
        old = prepare(Config(**options(data, tmp_path, parts=False))).plan
        old.write(tmp_path / "old.csv")
        run = prepare(Config(**options(data, tmp_path, pairs=tmp_path / "old.csv")))
        assert run.plan.pairs == old.pairs
        assert run.identity["plan"] == old.digest


class TestSyntheticSet:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch):
        monkeypatch.setattr("datasets.stylized_videos.SYNTHETIC_VIDEOS", 3)

    def chosen(self, save_dir: Path, **more) -> Config:
        options = {"dataset": "synthetic", "model": "demo_motion", "device": "cpu", **more}
        return Config(save_dir=save_dir, styles=("1", "2"), image_size=32, **options)

    def test_is_made_once_and_found_again(self, tmp_path, capsys):
        plan = prepare(self.chosen(tmp_path)).plan
        assert "made: 3 synthetic videos in" in capsys.readouterr().out
        before = contents(tmp_path / "synthetic_videos")
        assert prepare(self.chosen(tmp_path)).plan == plan
        assert "made" not in capsys.readouterr().out
        assert contents(tmp_path / "synthetic_videos") == before
        elsewhere = self.chosen(tmp_path / "runs", stylized_data_dir=tmp_path / "synthetic_videos")
        assert prepare(elsewhere).plan == plan

    def test_is_made_where_it_is_asked_for(self, tmp_path):
        prepare(self.chosen(tmp_path / "runs", stylized_data_dir=tmp_path / "mine"))
        assert (tmp_path / "mine" / "synthetic.json").is_file()
        assert not (tmp_path / "runs").exists()

    def test_videos_that_are_not_synthetic_are_refused(self, data, tmp_path):
        words = "`dataset` synthetic: .* has no synthetic.json.*give `dataset` plain"
        with pytest.raises(UserError, match=words):
            prepare(self.chosen(tmp_path, stylized_data_dir=data))
        assert not (data / "synthetic.json").exists()


class TestWeightsFromAFile:
    @pytest.fixture
    def checkpoint(self, tmp_path) -> Path:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            state = find("demo_motion").module().state_dict()
        torch.save({"model_state": state}, tmp_path / "weights.pyth")
        return tmp_path / "weights.pyth"

    def test_same_weights_same_features_whatever_the_seed(self, data, tmp_path, checkpoint):
        _, random = computed(prepare(Config(**options(data, tmp_path, run_name="random"))))
        plan = options(data, tmp_path, pairs=tmp_path / "random" / "plan.csv", random_seed=9)
        chosen = {**plan, "checkpoint": str(checkpoint), "run_name": "file"}
        folder, found = computed(prepare(Config(**chosen)))
        np.testing.assert_array_equal(found["5"], random["5"])
        record = json.loads((folder / "config.json").read_text())
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        assert record["weights"] == record["checkpoint"]["sha256"] == digest
        assert record["checkpoint"]["source"] == str(checkpoint)
        assert record["random"] is None

    def test_every_result_names_the_weights(self, data, tmp_path, checkpoint, capsys):
        chosen = {**options(data, tmp_path, run_name="run"), "checkpoint": str(checkpoint)}
        main.main(as_argv(chosen))
        digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        for name in ("layerwise", "units", "joint_encoding"):
            weights = {row["weights"] for row in read_rows(tmp_path / "run" / f"{name}.csv")}
            assert weights == {digest[:12]}
        assert "random" not in capsys.readouterr().out.replace(str(tmp_path), "")

    def test_resume_with_another_file_is_refused(self, data, tmp_path, checkpoint):
        chosen = {**options(data, tmp_path, run_name="run"), "checkpoint": str(checkpoint)}
        computed(prepare(Config(**chosen)))
        state = torch.load(checkpoint, weights_only=True)
        state["model_state"]["s1.pathway0_stem.conv.weight"] += 1
        torch.save(state, checkpoint)
        with pytest.raises(UserError, match="made with other weights"):
            main.main(["--resume", str(tmp_path / "run")])


def test_errors_in_a_plan_that_was_given_name_the_option(data, tmp_path):
    (tmp_path / "plan.csv").write_text("a\n1\n")
    with pytest.raises(UserError, match=r"^`pairs`: .*plan\.csv: expected a header"):
        prepare(Config(**options(data, tmp_path, pairs=tmp_path / "plan.csv")))


def test_given_plan_with_too_few_pairs_needs_another_plan(data, tmp_path):
    plan = prepare(Config(**options(data, tmp_path))).plan
    replace(plan, rows=plan.rows[:3]).write(tmp_path / "plan.csv")
    with pytest.raises(UserError, match=r"at least 2 needed; give other `pairs`$"):
        prepare(Config(**options(data, tmp_path, pairs=tmp_path / "plan.csv")))
