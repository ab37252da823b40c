"""Runs on every layout, with other kinds of pairs, and with weights from a file."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import main
from common.factors import DYNAMIC, STATIC
from config import Config
from datasets.videos import ORIGINAL
from measure.prepare import Measurement, prepare
from models.network import find
from tests import helpers_runs
from tests.datasets.helpers import noise, write_frames
from tests.helpers import assert_close
from tests.helpers_runs import as_argv, options, read_rows
from utils import UserError

data = helpers_runs.videos


def computed(plan: Measurement) -> tuple[Path, dict[str, np.ndarray]]:
    """The folder and the features of a run, by stage."""
    folder, store, _ = main.compute_features(plan)
    assert store.done.all()
    return folder, {stage: np.array(store.features(stage)) for stage in store.stages}


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
    chosen = options(tmp_path / "set", tmp_path, dataset=dataset, n_examples=60)
    plan = prepare(Config(**chosen))
    assert {clip.start for clip in plan.rows} == starts
    _, found = computed(plan)
    assert found["5"].shape == (len(plan.rows), 256)
    # The styles of these sets are copies, so a clip's features do not depend on its style.
    shown = {}
    for clip, row in plan.rows.items():
        if clip.shuffle == 0:
            key = (clip.video, clip.start)
            assert_close(found["5"][row], shown.setdefault(key, found["5"][row]))

    # Two videos of one class and one of another, which has no partner and is left out.
    mates = prepare(Config(**{**chosen, "m_same": False}))
    assert mates.videos.left_out == {"alone in their class (`m_same` False)": 1}
    assert len(mates.videos.videos) == 2
    for pair in mates.pairs:
        assert (pair.a.video != pair.b.video) == (pair.factor == DYNAMIC)
    alike = prepare(Config(**{**chosen, "app_shuffle": False}))
    label = {name: video.label for name, video in alike.videos.videos.items()}
    for pair in alike.pairs:
        assert (label[pair.a.video] == label[pair.b.video]) == (pair.factor == DYNAMIC)


def test_unstylized_static_pairs(data, tmp_path):
    (tmp_path / "set").mkdir()
    for style in "12":
        shutil.copytree(data / f"style_{style}", tmp_path / "set" / f"style_{style}")
    shutil.copytree(data / "style_3", tmp_path / "set" / "original")
    chosen = options(tmp_path / "set", tmp_path, styles=("1", "2"), use_normal_app=True)
    plan = prepare(Config(**chosen))
    assert all((pair.a.style == ORIGINAL) == (pair.factor == STATIC) for pair in plan.pairs)
    folder, found = computed(plan)

    # The same clips, when these videos are a style: `original` is read where it should be.
    lines = (folder / "plan.csv").read_text().replace(ORIGINAL, "3")
    (tmp_path / "plan.csv").write_text(lines)
    chosen = options(data, tmp_path, pairs=tmp_path / "plan.csv", run_name="styles")
    _, expected = computed(prepare(Config(**chosen)))
    assert_close(found["5"], expected["5"])

    # Fails: `use_normal_app` is refused beside `pairs`, which this plan needs. Suggested: take it
    # out of config._DRAWING, for it also says where the unstylized videos are.
    chosen = options(tmp_path / "set", tmp_path, styles=("1", "2"), pairs=folder / "plan.csv")
    _, again = computed(prepare(Config(**chosen, use_normal_app=True, run_name="again")))
    np.testing.assert_array_equal(again["5"], found["5"])

    # Another folder of unstylized videos, and the run's options kept for its resumption.
    chosen = options(data, tmp_path, use_normal_app=True, normal_data_dir=data / "style_3")
    folder, other = computed(prepare(Config(**chosen, run_name="elsewhere")))
    assert np.isfinite(other["5"]).all()
    main.main(["--resume", str(folder)])


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
        with pytest.raises(UserError, match="made with another weights"):
            main.main(["--resume", str(tmp_path / "run")])
