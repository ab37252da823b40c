"""Which network is measured, on which clips, with which weights: the command line of main.py."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from config import Config, load_config
from datasets.pair_plan import PairPlan
from measure.prepare import prepare
from measure.request import find_network, resolved
from measure.run import Run
from models.network import Network, Weights
from models.tables import resnet as resnet_family
from tests import helpers_runs
from tests.helpers import assert_close, tiny_network
from tests.helpers_checkpoints import known_state, save_torch
from tests.helpers_runs import as_argv, computed, options
from tests.helpers_server import Site, serve
from utils import UserError

data = helpers_runs.videos
ROOT = Path(__file__).parents[1]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A network called `tiny` in the table, and the server that its weights are published on."""
    monkeypatch.setenv("no_proxy", "*")
    network = tiny_network("one")
    path = save_torch(tmp_path / "published.pyth", {"model_state": known_state(network)})
    with serve(Site(path.read_bytes())) as served:
        weights = Weights("page", f"{served.address}/tiny.pyth")
        tiny = replace(network, weights=weights)
        monkeypatch.setattr(resnet_family, "NETWORKS", (*resnet_family.NETWORKS, tiny))
        path.unlink()
        yield served


def compute(data, save_dir, **more):
    """The plan, the folder and the features of a run, from a command line."""
    plan = prepare(load_config(as_argv({**options(data, save_dir), "model": "tiny", **more})))
    return plan, *computed(plan)


# ---- Published weights.


def test_published_weights_are_fetched_once_and_recorded(site, data, tmp_path):
    chosen = {"checkpoint": "auto", "weights_dir": tmp_path / "weights", "n_examples": 4}
    _, folder, features = compute(data, tmp_path, **chosen, run_name="one")
    file = tmp_path / "weights" / "tiny.pyth"
    digest = hashlib.sha256(site.data).hexdigest()
    assert file.read_bytes() == site.data
    assert (tmp_path / "weights" / "tiny.pyth.sha256").read_text() == f"{digest}  tiny.pyth\n"
    record = json.loads((folder / "config.json").read_text())
    assert record["weights"] == record["checkpoint"]["sha256"] == digest
    assert record["checkpoint"]["source"] == str(file)
    assert record["options"]["checkpoint"] == "auto"

    _, _, again = compute(data, tmp_path, **chosen, run_name="two")
    given = {**chosen, "checkpoint": file}
    _, _, by_hand = compute(data, tmp_path, **given, run_name="three")
    assert len(site.asked) == 1
    assert np.array_equal(features["5"], again["5"])
    assert np.array_equal(features["5"], by_hand["5"])


def test_nothing_is_fetched_for_a_request_that_is_wrong(site, data, tmp_path):
    chosen = {"checkpoint": "auto", "weights_dir": tmp_path / "weights", "stg": "9"}
    with pytest.raises(UserError, match="stage '9'"):
        compute(data, tmp_path, **chosen)
    with pytest.raises(UserError, match="n_examples"):
        compute(data, tmp_path, **{**chosen, "stg": "5", "n_examples": 1})
    assert site.asked == []


def test_weights_without_an_address(data, tmp_path):
    with pytest.raises(UserError, match="`checkpoint` auto: no address of a file for network 'fas"):
        compute(data, tmp_path, model="fast", checkpoint="auto")


def test_extract_features_fetches_them_too(site, tmp_path):
    from misc.extract_features import main as extract

    np.savez(tmp_path / "clips.npz", video=np.zeros((1, 3, 8, 32, 32), np.float32))
    argv = ["--model", "tiny", "--checkpoint", "auto", "--weights_dir", str(tmp_path / "weights")]
    argv += ["--clips", str(tmp_path / "clips.npz"), "--save", str(tmp_path / "features.npz")]
    extract([*argv, "--device", "cpu"])
    assert (tmp_path / "weights" / "tiny.pyth").read_bytes() == site.data
    assert np.load(tmp_path / "features.npz")["5"].shape == (1, 128)


# ---- Clips.


@pytest.mark.parametrize("name", ["crop", "image_size"])
def test_size_and_colours_of_clips(name, data, tmp_path):
    chosen = options(data, tmp_path, mean="0.4,0.5,0.6", std="0.2", batch_size=8)
    del chosen["image_size"]
    plan = prepare(load_config(as_argv({**chosen, name: 48})))
    assert (plan.geometry.crop, plan.geometry.short_side) == (48, 48)
    (batch, *_) = plan.batches(plan.chunks)
    changed = replace(
        plan,
        network=replace(plan.network, clip=replace(plan.geometry, mean=(0.0,) * 3, std=(1.0,) * 3)),
    )
    (plain, *_) = changed.batches(plan.chunks)
    mean = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1, 1)
    assert_close(batch.inputs[0], (plain.inputs[0] - mean) / 0.2, 1e-5)
    assert "mean 0.4 0.5 0.6, std 0.2 0.2 0.2" in plan.describe()


def test_rate_changes_the_window(data, tmp_path):
    plan = prepare(load_config(as_argv(options(data, tmp_path, sampling_rate=1))))
    assert (plan.geometry.inputs, plan.geometry.window) == ((("video", 8),), 8)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"clip_frames": 4}, "`clip_frames` 4: network 'demo_motion' takes 8 frames"),
        ({"model": "mvit", "image_size": 32}, "takes clips of 224 pixels, not 32"),
        ({"model": "i3d", "image_size": 16}, "takes clips of at least 32 pixels, not 16"),
        ({"model": "torchvison:r3d_18"}, "Did you mean 'torchvision'"),
        ({"model": "absent.py:build"}, r"there is no file absent\.py"),
    ],
)
def test_network_and_clips_that_do_not_go_together(more, words, data, tmp_path):
    with pytest.raises(UserError, match=words):
        prepare(load_config(as_argv(options(data, tmp_path, **more))))


# ---- Options that some networks have.


def network(**options) -> Network:
    return find_network(resolved(Config(**options), {}))


class TestOwnOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (
                {"model": "i3d", "path": "slow"},
                "`path` slow: network 'i3d' does not have this option",
            ),
            (
                {"model": "i3d", "fuse": False},
                "`fuse` False: network 'i3d' does not have this option",
            ),
            ({"model": "x3d_s", "path": "cat"}, "`path` cat: network 'x3d_s' does not have"),
            (
                {"model": "i3d", "trained_on": "davis"},
                "`trained_on` davis: network 'i3d' does not have",
            ),
            (
                {"model": "matnet", "trained_on": "davis"},
                "`trained_on` davis: network 'matnet' does not have this option; leave it out",
            ),
            (
                {"cfg_file": ROOT / "configs" / "rtnet_davis.json", "trained_on": "davis"},
                "`trained_on` davis: network 'rtnet",
            ),
            ({"model": "matnet", "path": "slow"}, "`path` slow: network 'matnet' does not have"),
        ],
    )
    def test_refused_where_there_is_nothing_to_choose(self, options, words):
        with pytest.raises(UserError, match=words):
            network(**options)

    def test_value_that_the_network_does_not_have(self):
        words = "trained_on 'davos' is not known.*davis, taovos.*Did you mean 'davis'"
        with pytest.raises(UserError, match=words):
            network(model="twostream_deeplabv3plus_resnet101", trained_on="davos")

    def test_training_set_is_in_the_name(self):
        found = network(model="twostream_deeplabv3plus_resnet101", trained_on="taovos")
        assert found.name == "twostream_deeplabv3plus_resnet101_taovos"

    @pytest.mark.parametrize("path", ["slow", "fast", "cat"])
    def test_pathway_and_fusion(self, path):
        fused, apart = (
            network(model="slowfast_r50_8x8", path=path, fuse=fuse) for fuse in (True, False)
        )
        assert (fused.pathway(fused.spec), apart.pathway(apart.spec)) == (
            path,
            f"{path}, not fused",
        )
        assert fused.stage_points("1") != apart.stage_points("1")
        assert fused.stage_points("5") == apart.stage_points("5")

    def test_network_that_cannot_be_taken_apart_is_labelled_as_it_is(self, data, tmp_path):
        # The study's code took `fuse` False for it, and measured it fused.
        model = "slowfast_ssv2_r50_8x8"
        fused, asked = (network(model=model, path="cat", fuse=fuse) for fuse in (True, False))
        assert asked.stage_points("all") == fused.stage_points("all")
        chosen = as_argv(options(data, tmp_path, model=model, path="slow", fuse=False))
        plan = prepare(load_config(chosen))
        assert plan.pathway == plan.identity["path"] == "slow"
        assert "pathway slow\n" in plan.describe()


def test_options_that_no_name_tells_are_part_of_what_was_measured(tmp_path):
    # Both are called twostream_deeplabv3plus_resnet101_davis, and have the same parameters.
    identities = []
    for stride in (8, 16):
        file = tmp_path / f"{stride}.json"
        name = "twostream_deeplabv3plus_resnet101"
        file.write_text(json.dumps({"model": name, "output_stride": stride}))
        config = resolved(Config(cfg_file=file), {})
        network = find_network(config)
        run = Run(config, network, "random", network.stages, None, PairPlan(()), {})
        identities.append(run.identity)
    small, large = identities
    assert small["network"] == large["network"] == f"{name}_davis_random"
    assert [key for key in small if small[key] != large[key]] == ["form"]
    assert json.loads(json.dumps(small)) == small


def test_results_are_called_as_asked(site, data, tmp_path):
    chosen = {"checkpoint": "random", "stg": "5", "name": "my own"}
    plan, folder, _ = compute(data, tmp_path, **chosen)
    assert folder.name == "my_own_plain_seed1"
    assert plan.model == plan.identity["network"] == "my own"
    assert "network: my own, weights random" in plan.describe()


# ---- Units.


def test_axis_of_the_units_is_part_of_what_was_measured(site, data, tmp_path):
    chosen = {"checkpoint": "random", "stg": "2", "n_examples": 4}
    _, _, usual = compute(data, tmp_path, **chosen, run_name="usual")
    _, folder, frames = compute(data, tmp_path, **chosen, unit_dim=2, run_name="frames")
    assert (usual["2"].shape[1], frames["2"].shape[1]) == (16, 8)
    assert_close(usual["2"].mean(1), frames["2"].mean(1), 1e-5)
    record = json.loads((folder / "config.json").read_text())
    assert record["unit_dim"] == 2
    with pytest.raises(UserError, match=r"`unit_dim` 7: an output of \w+ has 5 axes"):
        compute(data, tmp_path, **chosen, unit_dim=7, run_name="none")
    assert not (tmp_path / "none").exists()
