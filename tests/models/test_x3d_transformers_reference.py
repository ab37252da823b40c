"""X3D, MViT and TimeSformer against what the study's own code computed on the same weights."""

from dataclasses import replace

import pytest
import torch

from models.capture import LOGITS, stage_features
from models.checkpoints import load
from models.registry import find
from models.transformer_family import MViTSpec
from tests.helpers import assert_close, clip, fill, read_json, read_npz
from utils import UserError

REFERENCE = read_json("x3d_transformers.json")
NAMES = tuple(REFERENCE["networks"])
# The narrower form of MViT that the study ran; `mvit` is the published one.
NARROW = MViTSpec(pooled_blocks=14)


def reference_shapes(name):
    entry = REFERENCE["networks"][name]
    return {**REFERENCE["layouts"][entry["layout"]], **entry["except"]}


def in_study(name):
    """The network in the form that the golden arrays were made with."""
    return replace(find(name), spec=NARROW) if name == "mvit" else find(name)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_has_the_names_and_shapes_of_the_published_one(name):
    network = in_study(name)
    # Older torchvision cannot build MViT without memory.
    with torch.device("cpu" if name.startswith("mvit") else "meta"):
        module = network.module()
    shapes = {key: list(value.shape) for key, value in module.state_dict().items()}
    assert shapes == reference_shapes(name)
    assert sum(p.numel() for p in module.parameters()) == REFERENCE["networks"][name]["parameters"]
    assert network.num_classes == REFERENCE["networks"][name]["classes"]


@pytest.mark.parametrize("name", NAMES)
def test_stage_vectors_and_logits_equal_the_golden_ones(name):
    network = in_study(name)
    module = network.module()
    module.load_state_dict(fill(module.state_dict()))
    golden = read_npz("golden_x3d_transformers.npz")
    compared = 0
    for kind, entries in REFERENCE["inputs"][name].items():
        suffix = "" if kind == "default" else kind
        logits = next((g for k, g in golden.items() if k.startswith(f"{name}/cls{suffix}")), None)
        taps = network.stage_taps("all", "", True) if kind == "default" else {}
        inputs = [clip(*entry) for entry in entries]
        features = stage_features(module, inputs, taps, logits=logits is not None and bool(suffix))
        if not suffix and not name.startswith("x3d"):
            features = stage_features(module, inputs, taps, logits=True)
        for stage in taps:
            assert_close(features[stage], golden[f"{name}/stage{stage}"])
            compared += 1
        if LOGITS in features:
            assert_close(features[LOGITS], logits)
            compared += 1
    assert compared >= len(network.stages)


def test_timesformer_takes_larger_clips_with_the_nearest_positions():
    network = find("timesformer")
    module = network.module()
    module.load_state_dict(fill(module.state_dict()))
    inputs = [clip("golden:timesformer:256", (1, 3, 8, 256, 256))]
    features = stage_features(module, inputs, network.stage_taps("0", "", True))
    golden = read_npz("golden_x3d_transformers.npz")
    assert_close(features["0"], golden["timesformer/stage0@256"])


@pytest.mark.parametrize(("rows", "note"), [(8, "time embedding of 8 frames"), (16, "")])
def test_published_file_of_eight_frames_is_stretched_as_in_the_study(rows, note):
    network = find("timesformer_ssv2")
    state = {"model.time_embed": torch.arange(rows * 3.0).reshape(1, rows, 3)}
    variant = network.variant(state)
    assert variant.note.startswith(note)
    assert bool(variant.note) == bool(note)
    assert variant.spec == network.spec
    expected = [state["model.time_embed"][0, i * rows // 16].tolist() for i in range(16)]
    assert variant.state["model.time_embed"][0].tolist() == expected


class TestMViT:
    @pytest.mark.parametrize(
        ("pooled", "note"), [(16, ""), (14, "no key/value pooling in blocks 14 and 15")]
    )
    def test_form_is_recognised_from_the_checkpoint(self, pooled, note, tmp_path):
        network = find("mvit")
        state = network.module(spec=MViTSpec(pooled_blocks=pooled)).state_dict()
        torch.save({"model_state": state}, tmp_path / "mvit.pyth")
        module, loaded = load(network, str(tmp_path / "mvit.pyth"))
        assert loaded.note == note
        own = module.state_dict()
        assert set(own) == set(state)
        assert all(torch.equal(own[name], value) for name, value in state.items())

    def test_clips_of_another_size_are_refused_with_the_right_one(self):
        with pytest.raises(UserError, match="--image_size 224"):
            find("mvit").module()(torch.zeros(1, 3, 16, 256, 256))
