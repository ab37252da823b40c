"""Seeds of segmentation networks side by side: of one kind, and none takes another's files."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from common.npz import open_npz, save_npz
from tests import helpers_runs, helpers_vos
from tests.helpers_vos import contents, no_network, quick, run
from utils import UserError

trees, tiny, weights = helpers_vos.trees, helpers_vos.tiny, helpers_vos.weights
without_figures = helpers_runs.without_figures


class TestSeedsOfOnePlace:
    def test_seeds_of_one_kind_stand_together(self, trees, tmp_path, weights):
        # What a seed may change: the plan and random weights. Of those read, the plan alone.
        for checkpoint in ("random", weights):
            for seed in (1, 2):
                run(quick(trees, tmp_path / "out", checkpoint=checkpoint, random_seed=seed))
        names = {path.name for path in (tmp_path / "out/final").rglob("*.txt")}
        assert names == {
            f"{model}_final_00{seed}.txt"
            for model in ("tiny_davis", "tiny_davis_random")
            for seed in (1, 2)
        }

    def test_thresholds_of_seeds_may_differ(self, trees, tmp_path):
        config = quick(trees, tmp_path / "out")
        run(config)
        run(dataclasses.replace(config, random_seed=2, joint_encoding_thresh=(0.3,)))
        assert len(list((tmp_path / "out/final").rglob("*.txt"))) == 2

    def test_seeds_of_a_version_without_different_pairs_are_of_the_same_kind(self, trees, tmp_path):
        config = quick(trees, tmp_path / "out", parts=False)
        run(config)
        run(dataclasses.replace(config, random_seed=2, parts=True))
        assert len(list((tmp_path / "out/final").rglob("*.txt"))) == 2

    def test_a_seed_may_be_measured_again_with_different_pairs(self, trees, tmp_path):
        config = quick(trees, tmp_path / "out", parts=False)
        run(config)
        (final,) = (tmp_path / "out/final").rglob("*.txt")
        before = final.read_text()
        run(dataclasses.replace(config, parts=True))
        assert final.read_text() == before
        assert len(list((tmp_path / "out").glob("*/config.json"))) == 2

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"image_size": (12, 16)}, "other clips .*;"),
            ({"stg": "conv1,app_stream"}, "other stages;"),
            ({"styles": ("1", "2")}, "another data set or other styles;"),
            ({"nreps": 3}, "another pairing;"),
            ({"pairing": "sampled"}, "another pairing;"),
        ],
    )
    def test_another_kind_of_seed_is_refused(self, trees, tmp_path, monkeypatch, options, words):
        config = quick(trees, tmp_path / "out")
        run(config)
        before = contents(tmp_path / "out")
        no_network(monkeypatch)
        words = rf"seed1 holds a run of tiny_davis_random with {words} .*`save_dir`"
        with pytest.raises(UserError, match=words):
            run(dataclasses.replace(config, random_seed=2, **options))
        assert contents(tmp_path / "out") == before


def test_joint_encoding_of_another_seed_is_not_overwritten(trees, tmp_path, weights):
    # In the study every seed wrote these files, and the last one's remained.
    config = quick(trees, tmp_path / "out", checkpoint=weights, joint_encoding=True)
    run(config)
    second = dataclasses.replace(config, random_seed=2)
    run(dataclasses.replace(second, joint_encoding=False))
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match=r"conv1,app_stream\.npz is of seed 1, and is not"):
        run(second)
    assert contents(tmp_path / "out") == before
    # Nor where the other seed's run is no longer beside them.
    for path in [path for path in (tmp_path / "out").iterdir() if path.name != "joint_encoding"]:
        shutil.move(path, tmp_path / path.name)
    before = contents(tmp_path / "out")
    with pytest.raises(UserError, match=r"conv1,app_stream\.npz is of seed 1, and is not"):
        run(second)
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("seed", [None, np.array([1, 1]), np.array("1")])
def test_joint_encoding_of_no_known_seed_is_not_overwritten(trees, tmp_path, weights, seed):
    config = quick(trees, tmp_path / "out", checkpoint=weights, joint_encoding=True)
    run(config)
    path = tmp_path / "out/joint_encoding/tiny_davis/conv1,mot_stream.npz"
    arrays = {k: v for k, v in open_npz(path).items() if k != "seed"}
    save_npz(path, arrays if seed is None else {**arrays, "seed": seed})
    with pytest.raises(UserError, match=r"conv1,mot_stream\.npz is of no known seed, and is not"):
        run(config)
