"""torchvision's video networks: all that there are, their stages, and their own preprocessing."""

import functools
from dataclasses import dataclass, replace

import pytest
import torch
import torchvision.models.video
from torchvision import models as zoo

from config import Config
from datasets.geometry import ClipOptions
from datasets.video_clips import preprocess
from models.capture import stage_features
from models.catalogue import find
from models.checkpoints import load
from models.outline import list_stages
from models.own import torchvision as own_torchvision
from tests import helpers_runs
from tests.datasets.helpers import noise
from tests.helpers import assert_close, clip, fill, stored
from tests.models.own.helpers import chosen, computed, first_pixels
from utils import UserError

data = helpers_runs.videos
NAMES = tuple(zoo.list_models(module=torchvision.models.video))


@dataclass(frozen=True)
class Known:
    """What torchvision's own definitions say: clips, and the units of the blocks."""

    frames: int
    rate: int
    stage: str
    units: tuple[int, ...]


RESIDUAL = Known(16, 2, "", (64, 64, 128, 256, 512))
SWIN = Known(32, 2, "features.", (96, 192, 192, 384, 384, 768, 768))
KNOWN = {
    **dict.fromkeys(("mc3_18", "r2plus1d_18", "r3d_18"), RESIDUAL),
    "mvit_v1_b": Known(16, 4, "blocks.", (192,) * 2 + (384,) * 11 + (768,) * 3),
    "mvit_v2_s": Known(16, 4, "blocks.", (96,) + (192,) * 2 + (384,) * 11 + (768,) * 2),
    "s3d": Known(
        *(128, 2, "features."),
        (64,) * 3 + (192,) * 2 + (256,) + (480,) * 2 + (512,) * 3 + (528,) + (832,) * 3 + (1024,),
    ),
    "swin3d_t": SWIN,
    "swin3d_s": SWIN,
    "swin3d_b": replace(SWIN, units=(128, 256, 256, 512, 512, 1024, 1024)),
}


@pytest.fixture
def shapes_only(monkeypatch):
    """A function like `find` that builds networks of shapes alone (on the device "meta")."""
    geometry = own_torchvision.geometry

    def on_cpu(*args):
        with torch.device("cpu"):
            return geometry(*args)

    monkeypatch.setattr(own_torchvision, "geometry", on_cpu)

    def build(name, **more):
        # Older torchvision cannot build MViT without memory.
        with torch.device("cpu" if name.startswith("mvit") else "meta"):
            return find(f"torchvision:{name}", **more)

    return build


def module_of(network):
    """The module of a network, of shapes alone."""
    with torch.device("cpu" if "mvit" in network.name else "meta"):
        return network.module().to("meta")


# ---- All of them.


def test_every_network_of_the_library_is_known():
    assert set(KNOWN) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_clips_stages_and_units(name, shapes_only):
    network, known = shapes_only(name), KNOWN[name]
    assert network.clip.inputs == (("video", known.frames),)
    assert (network.clip.sampling_rate, network.clip.window) == (
        known.rate,
        known.rate * known.frames,
    )
    assert network.clip.exact_rate
    weights = zoo.get_model_weights(name).DEFAULT
    assert [network.clip.crop] * 2 == weights.transforms().crop_size
    assert (network.weights.url, network.num_classes) == (weights.url, 400)

    module = module_of(network)
    with torch.device("meta"):
        rows = list_stages(network, module, device="meta")
    default = [row for row in rows if row.default]
    assert tuple(row.stage for row in default) == network.stages
    assert {row.stage.startswith(known.stage) for row in default} == {True}
    assert tuple(row.units for row in default) == known.units
    assert {row.calls for row in default} == {1}
    # What is listed can be asked for.
    asked = ",".join(row.stage for row in rows)
    assert len(network.requested_stages(asked)) == len(rows) > len(default)
    head = [n for n in module.state_dict() if n.startswith(network.head)]
    assert module.state_dict()[head[-1]].shape == (400,)


@pytest.mark.parametrize("name", ["r3d_18", "s3d", "swin3d_t"])
@pytest.mark.parametrize(("height", "width"), [(90, 120), (240, 135)])
def test_preprocessing_is_that_of_the_library(name, height, width, shapes_only):
    network = shapes_only(name)
    frames = torch.from_numpy(noise(3, 7, height, width))
    expected = zoo.get_model_weights(name).DEFAULT.transforms()(frames.permute(0, 3, 1, 2))
    found = preprocess(frames, network.clip)
    assert found.shape == (3, 3, network.clip.crop, network.clip.crop)
    assert torch.equal(found, expected)


def test_classes_of_the_checkpoint_can_be_given(shapes_only):
    network = shapes_only("r3d_18", num_classes=7)
    assert network.num_classes == 7
    assert module_of(network).fc.out_features == 7


# ---- Two of them for real, on small clips.


@functools.cache
def known(name):
    """The record of a network, and a module with weights that are known."""
    network = find(f"torchvision:{name}", num_classes=5)
    module = network.module()
    module.load_state_dict(fill(module.state_dict()))
    return network, module


@pytest.mark.parametrize(
    ("name", "stages", "axes"),
    [
        ("r3d_18", ("stem", "layer2.0.conv1", "layer4"), (2, 3, 4)),
        # Its maps have their channels last.
        ("swin3d_t", ("features.0", "features.1", "features.6", "norm"), (1, 2, 3)),
    ],
)
def test_features_are_the_means_of_what_a_plain_hook_sees(name, stages, axes):
    (network, module), seen = known(name), {}
    handles = [
        module.get_submodule(stage).register_forward_hook(
            lambda module, inputs, output, stage=stage: seen.update({stage: output})
        )
        for stage in stages
    ]
    inputs = [clip("own", (2, 3, 4, 32, 32))]
    with torch.inference_mode():
        module(*inputs)
    for handle in handles:
        handle.remove()
    points = network.stage_points(",".join(stages))
    features = stage_features(module, inputs, points, rule=network.unit_rule)
    assert list(features) == list(stages)
    for stage in stages:
        assert seen[stage].ndim == 5
        assert_close(features[stage], seen[stage].mean(axes))


def test_checkpoint_in_the_library_s_names_is_loaded(tmp_path):
    network, filled = known("r3d_18")
    state = filled.state_dict()
    torch.save(state, tmp_path / "r3d.pth")
    module, loaded = load(network, str(tmp_path / "r3d.pth"), num_classes=5)
    assert loaded.random_parameters == ()
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())


def test_weights_are_not_made_up():
    with pytest.raises(UserError, match=r"`checkpoint` auto, or download r3d_18-.*\.pth from"):
        known("r3d_18")[0].checkpoint(None)


def test_run(data, tmp_path):
    """From frames to a store: a row is the network's answer to the library's preprocessing."""
    clips = {"clip_frames": 4, "sampling_rate": 2, "num_classes": 5, "n_examples": 4}
    own = chosen(data, tmp_path, "torchvision:r3d_18", stg="layer1,layer3", **clips)
    run, folder, store = computed(Config(**own, checkpoint="random"))
    assert run.geometry.window == 8
    pixels = torch.from_numpy(first_pixels(folder, data, (0, 2, 4, 6)))
    transforms = zoo.get_model_weights("r3d_18").DEFAULT.transforms()
    module, _ = load(run.network, "random", num_classes=5, seed=1)
    with torch.inference_mode():
        x = module.layer1(module.stem(transforms(pixels.permute(0, 3, 1, 2))[None]))
    assert_close(stored(store, "layer1")[0], x.mean((0, 2, 3, 4)))
    assert stored(store, "layer3").shape == (len(run.rows), 256)


# ---- Refusals.


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        ("mvit_v2_s", ClipOptions(frames=8), "`clip_frames` 8: .*mvit_v2_s' takes 16 frames"),
        ("swin3d_t", ClipOptions(crop=(112, 112)), r"`image_size`: .*\(clips of 224 pixels\)"),
        ("swin3d_t", ClipOptions(mean=(0.5,)), "`mean`: this network brings its own"),
    ],
)
def test_clips_that_the_network_cannot_take(name, wanted, words, shapes_only):
    with pytest.raises(UserError, match=words):
        shapes_only(name, clips=wanted)
