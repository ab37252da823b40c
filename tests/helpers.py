"""Reference facts, the weights and clips behind them, and tiny networks."""

import functools
import json
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.catalogue import find
from models.network import Network
from models.parameter_names import pytorchvideo_name
from models.tables.resnet import Fusion, Pathway, ResNetSpec

DATA = Path(__file__).parent / "data"


def fill(state_dict, salt=""):
    """Deterministic weights: each tensor is drawn from a generator seeded by its name."""
    filled = {}
    for name, tensor in state_dict.items():
        rng = np.random.default_rng(zlib.crc32((salt + name).encode()))
        shape = tuple(tensor.shape)
        if not tensor.is_floating_point():
            filled[name] = torch.zeros_like(tensor)
            continue
        noise = rng.standard_normal(shape, dtype=np.float32)
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "running_var":
            value = 1.0 + 0.1 * np.abs(noise)
        elif leaf == "running_mean":
            value = 0.1 * noise
        elif leaf == "weight" and len(shape) >= 2:
            value = noise * np.sqrt(2.0 / int(np.prod(shape[1:])))
        elif leaf == "weight":
            value = 1.0 + 0.1 * noise
        elif leaf == "bias":
            value = 0.05 * noise
        else:
            value = 0.02 * noise
        filled[name] = torch.from_numpy(np.asarray(value, dtype=np.float32)).reshape(shape)
    return filled


def clip(name, shape):
    """A known input: standard normal noise, seeded by `name`."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


@functools.cache
def read_json(file):
    """A JSON file of `tests/data`."""
    return json.loads((DATA / file).read_text(encoding="utf-8"))


@functools.cache
def read_npz(file):
    """The arrays of an .npz file of `tests/data`."""
    with np.load(DATA / file) as arrays:
        return dict(arrays)


def golden_inputs(name, kind="default"):
    """The input clips behind the golden arrays of a network: "default", "@224" or "@256"."""
    return [clip(*entry) for entry in read_json("golden_inputs.json")[name][kind]]


def golden_stage(name, stage, path="", fuse=True):
    """The golden vectors [B, C] of a stage; see data/README.md for what is stored."""
    stored = read_npz("golden_resnet.npz")
    if not path:
        return stored[f"{name}/stage{stage}"]
    if path == "cat":
        parts = [golden_stage(name, stage, part, fuse) for part in ("slow", "fast")]
        return np.concatenate(parts, 1)
    suffix = "" if stage == "5" else "/fuse"
    if stage != "5" and not fuse and path == "slow" and name != "slowfast_ssv2_r50_8x8":
        suffix = "/nofuse"
    return stored[f"{name}/stage{stage}/{path}{suffix}"]


# i3d_nln's attention is saturated on plain filled weights; smaller queries make it smooth.
_SOFT = {(3, 1): 5, (3, 3): 10, (4, 1): 14, (4, 3): 18, (4, 5): 22}


def golden_state(name, state_dict):
    """The weights behind the golden arrays of a network."""
    state = fill(state_dict)
    if name == "i3d_nln_soft":
        for (stage, block), power in _SOFT.items():
            for leaf in ("weight", "bias"):
                state[f"s{stage}.pathway0_nonlocal{block}.conv_theta.{leaf}"] *= 2.0**-power
    return state


def golden_network(name):
    """The record, and the module with the weights behind the golden arrays."""
    network = find(name.removesuffix("_soft"))
    with torch.random.fork_rng(devices=[]):
        module = network.module()
    module.load_state_dict(golden_state(name, module.state_dict()))
    return network, module


def assert_close(actual, expected, tolerance=1e-4):
    """Equal shapes, and no difference above `tolerance` times the largest expected value.

    Convolutions, products of matrices and sums differ in their last digits with the processor, the
    number of threads and the size of a batch, in proportion to the values they add up: 1e-5 is
    right for single modules, 1e-4 for whole networks.
    """
    actual, expected = (_array(values) for values in (actual, expected))
    assert actual.shape == expected.shape
    assert np.isfinite(actual).all()
    difference, largest = np.abs(actual - expected).max(), np.abs(expected).max()
    assert difference <= tolerance * largest, f"{difference:.3g} off, of values up to {largest:.3g}"


def peak_memory(work):
    """Largest number of bytes that `work` had allocated at once."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _array(values):
    return values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)


_FAST = Pathway(1, 2, 3, ((3,), (3,), (3,), (3,)))
_SLOW = Pathway(0, 4, 1, ((1,), (1,), (3,), (3,)))
_ONE = {"blocks": (1, 2, 1, 1), "head_window": None}


def tiny_network(kind: str) -> Network:
    """A network of a few thousand parameters and 5 classes, called `tiny`.

    kind: "one" pathway (with a non-local block), "two" pathways, or "one" or "two" followed by
    " published" for PyTorchVideo's names.
    """
    pathways, _, published = kind.partition(" ")
    naming = "pytorchvideo" if published else "pyslowfast"
    if pathways == "two":
        base = find("slowfast_r50_8x8")
        spec = ResNetSpec((_SLOW, _FAST), Fusion(3, 4), naming=naming, **_ONE)
    else:
        base = find("i3d")
        after = ((), (1,), (), ()) if not published else ((), (), (), ())
        spec = ResNetSpec((_SLOW,), pool_after_res2=2, nonlocal_after=after, naming=naming, **_ONE)
    head = pytorchvideo_name(base.head, pathways == "two") if published else base.head
    return replace(base, name="tiny", spec=spec, num_classes=5, head=head)


def at_path(network, path, fuse=True):
    """The network measured at a pathway; one with a single pathway as it is."""
    options = {"path": path, "fuse": fuse}
    return network.configured(options) if "path" in network.options else network


def tiny_inputs(network, clips=2, pixels=32):
    """Input clips for a tiny network."""
    return [clip(name, (clips, 3, frames, pixels, pixels)) for name, frames in network.clip.inputs]


def stored(store, stage):
    """All features of a stage in a feature store, [clips, C]."""
    return store.reader(stage)(np.arange(len(store.clips)))
