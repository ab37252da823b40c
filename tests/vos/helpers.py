"""Segmentation networks with the weights behind their golden arrays, and a tiny one."""

import hashlib
import re
from dataclasses import replace

import torch
from torch import nn

from models.catalogue import find
from models.network import HookPoint
from tests.helpers import clip, fill, read_json, read_npz

CASES = read_json("vos_networks.json")["networks"]


def model_of(case):
    """The network of a case, as it is called in the table."""
    return case.partition("/")[0]


def golden_segmenter(case):
    """The record of a case, in the form of its configuration."""
    config = CASES[case]["config"]
    return find(model_of(case)).configured(config.get("extra_args", config))


_LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4")
_WIDE, _NARROW = (64, 256, 512, 1024, 2048), (64, 64, 128, 256, 512)
_FUSED = {
    "twostream_deeplabv3plus_resnet101": {"layer1": 256, "layer4": 2048},
    "matnet": {"layer1": 512, "layer2": 1024, "layer3": 2048, "layer4": 4096, "layerf": 256},
    "rtnet": {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 256},
    "rtnet34": {"layer1": 64, "layer2": 128, "layer3": 256, "layer4": 256},
}


def units_of(model):
    """The number of units of every stage, in the study's order."""
    widths = dict(zip(_LAYERS, _NARROW if model == "rtnet34" else _WIDE, strict=True))
    streams = {f"{layer},{s}_stream": n for s in ("app", "mot") for layer, n in widths.items()}
    fused = _FUSED["matnet" if model.startswith("matnet") else model]
    return streams | {f"{layer},sensor_fusion": n for layer, n in fused.items()}


def bare_module(network):
    """A module of the network whose tensors take no memory."""
    with torch.device("meta"):
        return network.module()


def golden_state(case, module, known=None):
    """The weights behind the golden arrays; `known` ones are not drawn again, and added to."""
    known = {} if known is None else known
    shapes = module.state_dict()
    absent = {
        name: torch.empty(value.shape, dtype=value.dtype)
        for name, value in shapes.items()
        if name not in known or known[name].shape != value.shape
    }
    for name, value in fill(absent).items():
        known[name] = value * temper(model_of(case), name)
    return {name: known[name] for name in shapes}


def temper(model, name):
    """What a filled tensor is multiplied with, so that no branch is saturated."""
    patterns = read_json("vos_networks.json")["temper"][model]
    return next((factor for pattern, factor in patterns if re.search(pattern, name)), 1)


def inputs_of(network, samples, pixels, name="{}"):
    """Known images and flows of so many samples, called `name` with the input's in braces."""
    return [
        clip(name.format(own), (samples, *shape[:-2], *pixels))
        for own, shape in network.clip.shapes.items()
    ]


def golden_inputs(case, samples, pixels=(96, 160)):
    """Image and flow behind the golden arrays, of so many samples."""
    model = model_of(case)
    return inputs_of(find(model), samples, pixels, f"golden:{model}:{{}}")


def golden(case):
    """The golden arrays of a case by output, "layer3,app_stream" or "logit.mean"."""
    stored = read_npz("vos_golden.npz")
    return {k.removeprefix(f"{case}/"): v for k, v in stored.items() if k.startswith(f"{case}/")}


def as_golden(features):
    """Features and logits of a network as the golden arrays have them."""
    result = {}
    for name, values in features.items():
        values = torch.as_tensor(values)
        if "," in name:
            result[name] = values
            continue
        name = name.replace("logits", "logit")
        result[f"{name}.mean"] = values.mean((2, 3))
        result[f"{name}.std"] = values.std((2, 3), unbiased=False)
        result[f"{name}.pool16"] = nn.functional.adaptive_avg_pool2d(values, 16)
    return result


def assert_golden(case, features):
    """Every golden array of a case equals the features; of some cases every fourth unit is kept."""
    found = as_golden(features)
    arrays = golden(case)
    assert arrays
    for name, expected in arrays.items():
        actual = found[name].numpy()
        if "," in name and actual.shape != expected.shape:
            actual = actual[:, ::4]
        assert actual.shape == expected.shape, name
        tolerance = CASES[case]["tolerances"].get(name, 1e-4)
        assert abs(actual - expected).max() <= tolerance * abs(expected).max(), name


def layout(state):
    """A hash of all names and shapes of a state dict."""
    lines = sorted(f"{name} {'x'.join(map(str, value.shape))}" for name, value in state.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class TinyMATNet(nn.Module):
    """Names like MATNet's, some of which are never run, and a few parameters."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.ModuleDict(
            {"conv1_1": nn.Conv2d(3, 2, 1), "coa_res3": nn.ModuleDict({"bna": nn.BatchNorm2d(2)})}
        )
        self.decoder = nn.ModuleDict(
            {"pred2": nn.Conv2d(2, 1, 1), "pred5": nn.Conv2d(2, 1, 1), "norm": nn.BatchNorm2d(1)}
        )

    def forward(self, image, flow):
        x = self.encoder["conv1_1"](image) + flow[:, :2]
        return self.decoder["norm"](self.decoder["pred2"](x))


def build_tiny(spec, num_classes):
    return TinyMATNet()


def tiny_points(spec):
    return {
        "conv1,app_stream": (HookPoint("encoder.conv1_1"),),
        "layer4,sensor_fusion": (HookPoint("decoder.pred2"),),
    }


def tiny_segmenter():
    """MATNet's record with a module of few parameters and two stages."""
    return replace(
        find("matnet"),
        build="tests.vos.helpers:build_tiny",
        points=tiny_points,
        smallest_crop=8,
    )
