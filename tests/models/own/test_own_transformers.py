"""Networks of the transformers library, from tiny folders of every family."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

from config import Config
from datasets.video_clips import preprocess
from models.capture import stage_features
from models.catalogue import find
from models.checkpoints import load
from models.network import BUILT
from models.own import transformers as own_transformers
from tests import helpers_runs
from tests.datasets.helpers import noise
from tests.helpers import assert_close, stored
from tests.models.own.helpers import built, chosen, computed, first_pixels
from utils import UserError

transformers = pytest.importorskip("transformers")
data = helpers_runs.videos

# Two blocks of 24 units, for 4 frames of 32 pixels in patches of 16.
PARTS = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}
SMALL = {**PARTS, "intermediate_size": 32, "image_size": 32, "num_frames": 4}
PATCH, CUBE = {"patch_size": 16}, {"tubelet_size": 2}
PREDICTOR = {f"pred_{name}": value for name, value in PARTS.items()}
CONFIGS = {
    "timesformer": {**SMALL, **PATCH},
    "videomae": {**SMALL, **PATCH, **CUBE},
    "vivit": {**SMALL, "tubelet_size": [2, 16, 16]},
    "vjepa2": {**PARTS, **PATCH, **CUBE, **PREDICTOR, "crop_size": 32, "frames_per_clip": 4},
}
# The published ones of TimeSformer and VideoMAE are saved with the same class.
PROCESSORS = {
    "timesformer": ("VideoMAEImageProcessor", 32),
    "videomae": ("VideoMAEImageProcessor", 32),
    "vivit": ("VivitImageProcessor", 36),
    "vjepa2": ("VJEPA2VideoProcessor", 36),
}
CROP = {"height": 32, "width": 32}


def processor(family, crop=CROP):
    name, side = PROCESSORS[family]
    return getattr(transformers, name)(size={"shortest_edge": side}, crop_size=crop)


@pytest.fixture(scope="module", params=CONFIGS)
def folder(request, tmp_path_factory):
    """A folder as the library publishes them, with a classifier where the family has one."""
    family = request.param
    path = tmp_path_factory.mktemp("folders") / family
    config = transformers.AutoConfig.for_model(family, **CONFIGS[family])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if family == "vjepa2":
            network = transformers.AutoModel.from_config(config)
        else:
            network = transformers.AutoModelForVideoClassification.from_config(config)
    transformers.logging.disable_progress_bar()
    network.save_pretrained(path)
    processor(family).save_pretrained(path)
    return path


@pytest.fixture
def changed(folder, tmp_path):
    """A copy of the folder, to be broken."""
    return shutil.copytree(folder, tmp_path / folder.name)


def from_library(folder):
    """The base network of a folder as the library itself loads it."""
    return transformers.AutoModel.from_pretrained(folder).eval()


# ---- The same numbers as the library's.


def test_preprocessing_is_that_of_the_library(folder):
    network, frames = find(f"hf:{folder}"), noise(4, 3, 40, 56)
    expected = processor(folder.name)([list(frames)], return_tensors="pt")
    (expected,) = expected.values()  # [1, T, 3, 32, 32]
    found = preprocess(torch.from_numpy(frames), network.clip)
    assert found.dtype == torch.float32
    assert_close(found, expected[0].transpose(0, 1), 1e-5)


def test_features_are_the_means_of_the_library_s_hidden_states(folder):
    network, module = find(f"hf:{folder}"), built(f"hf:{folder}")
    clips = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    points = network.stage_points("all")
    features = stage_features(module, [clips], points, rule=network.unit_rule)
    frames = clips.transpose(1, 2)
    video = "pixel_values_videos" if folder.name == "vjepa2" else "pixel_values"
    with torch.inference_mode():
        library = from_library(folder)(**{video: frames}, output_hidden_states=True)
    states = library.hidden_states[1:]  # after each block
    # ViViT's blocks have another path in some releases.
    blocks = "layers" if "layers.0" in features else "encoder.layer"
    assert tuple(features) == (f"{blocks}.0", f"{blocks}.1")
    # The last of V-JEPA 2's is given after a norm, so the block itself is asked below.
    same = states[:1] if folder.name == "vjepa2" else states
    for stage, state in zip(features, same, strict=False):
        assert state.shape[::2] == (2, 24)
        assert_close(features[stage], state.mean(1))


def test_run_of_all_stages(folder, data, tmp_path):
    own = chosen(data, tmp_path, f"hf:{folder}", sampling_rate=2)
    run, run_folder, store = computed(Config(**own))
    assert (run.geometry.window, run.checkpoint, len(run.weights)) == (8, BUILT, 64)
    last, seen = find(f"hf:{folder}").stages[-1], []
    network = from_library(folder)
    network.get_submodule(last).register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    pixels = first_pixels(run_folder, data, (0, 2, 4, 6))
    with torch.inference_mode():
        network(**processor(folder.name)([list(pixels)], return_tensors="pt"))
    expected = seen[0] if isinstance(seen[0], torch.Tensor) else seen[0][0]  # [1, N, 24]
    assert_close(stored(store, last)[0], expected.mean(1)[0])
    record = json.loads((run_folder / "config.json").read_text())
    assert record["checkpoint"] == {
        "source": "as built",
        "sha256": run.weights,
        "random_parameters": [],
        "note": "",
    }
    assert record["clip"]["transform"] == {"folder": str(folder)}


def test_clips_are_those_of_the_configuration(folder):
    network = find(f"hf:{folder}")
    rate = {"timesformer": 32, "videomae": 4}.get(folder.name, 2)
    assert network.clip.inputs == (("video", 4),)
    assert (network.clip.sampling_rate, network.clip.window) == (rate, 4 * rate)
    assert (network.clip.crop, network.name) == (32, f"hf:{folder.name}")
    assert network.clip.exact_rate


def test_random_weights_are_others(folder):
    module, _ = load(find(f"hf:{folder}"), "random", seed=5)
    own, random = built(f"hf:{folder}").state_dict(), module.state_dict()
    assert list(own) == list(random)
    assert not all(torch.equal(own[name], random[name]) for name in own)


# ---- Refusals.


def refusal(folder, **more):
    with pytest.raises(UserError) as caught:
        find(f"hf:{folder}", **more)
    return str(caught.value)


def test_weights_that_are_not_complete(changed):
    from safetensors.torch import load_file, save_file

    path = changed / "model.safetensors"
    state = load_file(path)
    dropped = next(name for name in state if "1." in name and name.endswith("weight"))
    del state[dropped]
    save_file(state, path, {"format": "pt"})
    assert "the weights lack 1 parameters of the network, such as" in refusal(changed)
    path.unlink()
    message = refusal(changed)
    assert message.startswith(f"`model` hf:{changed}: ")
    assert "model.safetensors" in message


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["cut off", "pickle"])
def test_weights_that_are_damaged_or_not_safe(kind, changed, tmp_path):
    path = changed / "model.safetensors"
    if kind == "cut off":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
        ran = tmp_path / "ran"
        torch.save({"layernorm.weight": Touch(ran)}, changed / "pytorch_model.bin")
    assert refusal(changed).startswith(f"`model` hf:{changed}: the weights cannot be read: ")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["known family", "unknown family"])
def test_code_in_a_folder_is_never_run(kind, changed, tmp_path, monkeypatch, processor_forgotten):
    monkeypatch.setattr("builtins.input", lambda *asked: pytest.fail("a prompt"))
    code = f"from pathlib import Path\nPath({str(tmp_path / 'ran')!r}).touch()\n"
    (changed / "theirs.py").write_text(f"{code}class Config: pass\nclass Net: pass\n")
    record = json.loads((changed / "config.json").read_text())
    record["auto_map"] = {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Net"}
    if kind == "unknown family":
        record["model_type"] = "theirs"
    (changed / "config.json").write_text(json.dumps(record))
    for path in changed.glob("*preprocessor_config.json"):
        processing = json.loads(path.read_text())
        names = ("AutoImageProcessor", "AutoVideoProcessor")
        processing["auto_map"] = dict.fromkeys(names, "theirs.Net")
        path.write_text(json.dumps(processing))
    if kind == "unknown family":
        assert f"`model` hf:{changed}: " in refusal(changed)
    else:
        load(find(f"hf:{changed}"), "random")
    assert not (tmp_path / "ran").exists()


def test_output_without_logits(folder):
    network_name = f"hf:{folder}"
    network = find(network_name)
    clips = [torch.zeros(1, 3, 4, 32, 32)]
    features = stage_features(built(network_name), clips, {}, logits=True, rule=network.unit_rule)
    assert "logits#last_hidden_state" in features


@pytest.fixture
def processor_forgotten():
    own_transformers._processor.cache_clear()


def test_folder_without_its_preprocessing(changed, processor_forgotten):
    for path in changed.glob("*preprocessor_config.json"):
        path.unlink()
    message = refusal(changed)
    found = re.search(r"the network's preprocessing cannot be read \((.*)\)\. Save", message)
    assert found[1].startswith("Can't load image processor for")
    assert len(found[1]) <= 203
    assert "\n" not in message
    assert message.endswith("processor.save_pretrained(FOLDER)")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("short"), "(short)"),
        (OSError("first\nsecond"), "(first)"),
        (OSError(""), "(OSError)"),
        (ValueError("x" * 200), f"({'x' * 200})"),
        (ValueError("x" * 201), f"({'x' * 200}...)"),
    ],
)
def test_reason_of_the_library_is_cut_to_what_can_be_read(
    error, reason, tmp_path, monkeypatch, processor_forgotten
):
    def fail(*args, **more):
        raise error

    for auto in ("AutoImageProcessor", "AutoVideoProcessor"):
        monkeypatch.setattr(getattr(transformers, auto), "from_pretrained", fail)
    with pytest.raises(UserError, match=re.escape(f"cannot be read {reason}. Save the processor")):
        own_transformers._processor(str(tmp_path))


def test_empty_error_of_the_library_is_named(tmp_path, monkeypatch):
    def fail(*args, **more):
        raise ValueError

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", fail)
    assert refusal(tmp_path) == f"`model` hf:{tmp_path}: ValueError"


def test_preprocessing_of_another_size(changed, processor_forgotten):
    processor(changed.name, {"height": 24, "width": 24}).save_pretrained(changed)
    message = refusal(changed)
    assert "gives frames of 24x24 pixels, the network takes 32x32" in message


def test_family_that_is_not_known(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    message = refusal(tmp_path)
    assert "'vit'; known: timesformer, videomae, vivit, vjepa2" in message
    assert "a few lines of adapter (docs/networks.md)" in message


def test_folder_without_a_network(tmp_path):
    assert f"`model` hf:{tmp_path}: " in refusal(tmp_path)


def test_number_of_classes_is_refused(tmp_path):
    assert "`num_classes`: " in refusal(tmp_path, num_classes=5)


def test_library_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "needs the transformers library: pip install transformers" in refusal(tmp_path)
