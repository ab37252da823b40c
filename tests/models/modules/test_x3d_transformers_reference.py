"""X3D, MViT and TimeSformer against what the study's own code computed on the same weights."""

from dataclasses import replace

import pytest
import torch

from datasets.geometry import ClipOptions
from models.capture import LOGITS, stage_features
from models.catalogue import find
from models.checkpoints import load
from models.tables.transformers import MViTSpec
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


@pytest.mark.parametrize(
    ("name", "kind"), [("x3d_xs", "@160"), ("x3d_s", "@160"), ("x3d_m", "@224")]
)
def test_logits_equal_the_golden_ones(name, kind):
    """Stages, and the transformers' logits, are compared in misc/test_extract_goldens.py."""
    module = find(name).module()
    module.load_state_dict(fill(module.state_dict()))
    inputs = [clip(*entry) for entry in REFERENCE["inputs"][name][kind]]
    logits = stage_features(module, inputs, {}, logits=True)[LOGITS]
    assert_close(logits, read_npz("golden_x3d_transformers.npz")[f"{name}/cls{kind}_preact"])


def test_timesformer_takes_larger_clips_with_the_nearest_positions():
    network = find("timesformer")
    module = network.module()
    module.load_state_dict(fill(module.state_dict()))
    inputs = [clip("golden:timesformer:256", (1, 3, 8, 256, 256))]
    features = stage_features(module, inputs, network.stage_points("0"))
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


# ---- Clips that a checkpoint was not trained for.


def embeddings(frames, crop):
    """What tells the clips that a TimeSformer file was trained for."""
    return {
        "model.time_embed": torch.zeros(1, frames, 768),
        "model.pos_embed": torch.zeros(1, (crop // 16) ** 2 + 1, 768),
    }


@pytest.mark.parametrize(
    ("name", "options", "frames", "crop", "words"),
    [
        ("timesformer", {}, 96, 224, r"of 96 frames, not 8: give `clip_frames` 96 \(and the `sam"),
        ("timesformer", {"frames": 16}, 8, 224, "of 8 frames, not 16: give `clip_frames` 8"),
        ("timesformer", {}, 8, 448, "of 448 pixels, not 224: give `image_size` 448"),
        (
            "timesformer",
            {"crop": (160, 160)},
            8,
            224,
            "of 224 pixels, not 160: give `image_size` 224",
        ),
        # 16 is no multiple of 6, and a longer file is never cut.
        ("timesformer_ssv2", {}, 6, 224, "of 6 frames, not 16: give `clip_frames` 6"),
        ("timesformer_ssv2", {}, 32, 224, "of 32 frames, not 16: give `clip_frames` 32"),
    ],
)
def test_file_of_other_clips_says_which_to_give(name, options, frames, crop, words, tmp_path):
    network = find(name).with_clip(ClipOptions(**options))
    torch.save(embeddings(frames, crop), tmp_path / "other.pyth")
    with pytest.raises(UserError, match=f"the checkpoint was trained on clips {words}"):
        load(network, str(tmp_path / "other.pyth"))


@pytest.mark.parametrize(
    ("name", "options", "frames", "crop", "note"),
    [
        ("timesformer", {"frames": 96}, 96, 224, ""),
        ("timesformer", {"crop": (448, 448)}, 8, 448, ""),
        (
            "timesformer",
            {"crop": (256, 256)},
            8,
            224,
            "positions of 224 pixels, the nearest taken for 256",
        ),
        (
            *("timesformer_ssv2", {"crop": (448, 448)}, 8, 224),
            "time embedding of 8 frames stretched to 16; "
            "positions of 224 pixels, the nearest taken for 448",
        ),
    ],
)
def test_clips_given_for_a_file_make_it_fit(name, options, frames, crop, note):
    network = find(name).with_clip(ClipOptions(**options))
    variant = network.variant(embeddings(frames, crop))
    assert variant.note == note
    assert variant.spec.crop == crop
    assert variant.spec.frames == network.clip.inputs[0][1]


def test_window_follows_the_frames_of_a_long_file():
    clip = find("timesformer").with_clip(ClipOptions(frames=96, rate=4)).clip
    assert (clip.inputs, clip.sampling_rate, clip.window) == ((("video", 96),), 4, 384)


class TestMViT:
    @pytest.mark.parametrize("name", ["mvit", "mvit_kvpool16"])
    @pytest.mark.parametrize("frames", [8, 32])
    def test_file_of_other_frames_says_which_to_give(self, name, frames):
        state = {"cls_positional_encoding.pos_embed_temporal": torch.zeros(1, frames // 2, 96)}
        with pytest.raises(
            UserError, match=rf"of {frames} frames, not 16: give `clip_frames` {frames}"
        ):
            find(name).variant(state)
        network = find(name).with_clip(ClipOptions(frames=frames))
        assert network.variant(state).spec.frames == frames

    @pytest.mark.parametrize("name", ["mvit", "mvit_kvpool16"])
    def test_file_of_another_crop_says_of_which(self, name):
        state = {"cls_positional_encoding.pos_embed_spatial": torch.zeros(1, 80 * 80, 96)}
        with pytest.raises(UserError, match="of 320 pixels; MViT is measured on clips of 224"):
            find(name).variant(state)

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

    def test_crop_of_another_size_is_refused_before_the_network_is_built(self):
        with pytest.raises(UserError, match=r"takes clips of 224 pixels.*`image_size` 224"):
            find("mvit").with_clip(ClipOptions(crop=(256, 256)))

    def test_clips_of_another_size_are_refused_with_the_right_one(self):
        with pytest.raises(UserError, match="`image_size` 224"):
            find("mvit").module()(torch.zeros(1, 3, 16, 256, 256))
