"""What is asked for, with the JSON configuration and the environment filled in.

The study describes a segmentation network and its data in a JSON file. Options take precedence over
it; for the places of the data, variables of the environment stand between the two. The seed and
the GPU of the file are not used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from common.files import read_json
from common.tasks import SEGMENTATION
from config import USUAL_MODEL, Config, changed, require_task
from datasets.catalogue import DATASETS, USUAL
from datasets.geometry import ClipOptions
from datasets.pair_plan import ONCE
from datasets.stylized_sequences import ENVIRONMENT
from models import catalogue
from models.network import Network
from utils import DataError, UserError, suggestion

# Options that a network may have of its own, beside those that its configuration names.
PATHWAY_OPTIONS = ("path", "fuse")
OWN_OPTIONS = (*PATHWAY_OPTIONS, "trained_on")
# What the study's configurations say that cannot be otherwise here.
_FIXED = {"variant": "img_flow", "sampling_method": "noisy_flow"}
# Keys of the file: the option that each stands for, and its type there.
_KEYS: dict[str, tuple[str, Any]] = {
    "original_data_root": ("original_data_root", str),
    "stylized_data_root": ("stylized_data_dir", str),
    "split": ("subset", str),
    "crop_size": ("image_size", list),
    "nreps": ("nreps", int),
}


def read_cfg_file(path: Path) -> dict[str, Any]:
    """The content of a configuration file.

    Raises DataError where it is missing, is not a JSON object or lacks the network's name, or asks
    for what is not supported.
    """
    if not path.exists():
        there = sorted(str(p) for p in path.parent.rglob("*.json")) if path.parent.is_dir() else []
        near = suggestion(str(path), there)
        raise DataError(f"{path} does not exist.{near} There are: {', '.join(there) or 'none'}")
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("extra_args", {}), dict):
        raise DataError(
            f"{path} is not a configuration: expected a JSON object, and 'extra_args', if there, "
            "to be one as well"
        )
    _typed(content, "model", str, path)
    for key, expected in _FIXED.items():
        if content.get(key, expected) != expected:
            raise DataError(
                f"{path}: {key} {content[key]!r} is not supported; expected {expected!r}"
            )
    return content


def resolved(config: Config, environment: Mapping[str, str] = os.environ) -> Config:
    """The options, with what the configuration file and the environment say of those not given.

    Raises UserError for a data set, or an option, of networks of the other task.
    """
    content = read_cfg_file(config.cfg_file) if config.cfg_file else {}
    model = config.model or content.get("model", USUAL_MODEL)
    if content and model != content["model"]:
        raise UserError(
            f"{config.cfg_file} describes network {content['model']!r}: give `model` "
            f"{content['model']}, or leave it out"
        )
    task = catalogue.task_of(model)
    require_task(changed(config), task)
    dataset = config.dataset or USUAL[task]
    if DATASETS[dataset].task != task:
        known = [name for name, entry in DATASETS.items() if entry.task == task]
        raise UserError(
            f"`dataset` {dataset} is for networks of {DATASETS[dataset].task}, and {model} is one "
            f"of {task}: give one of {', '.join(known)}"
        )
    found: dict[str, Any] = _values(content, config)
    if task == SEGMENTATION:
        found |= {k: Path(environment[v]) for k, v in ENVIRONMENT.items() if environment.get(v)}
    open_ones = {k: v for k, v in found.items() if getattr(config, k) is None}
    return replace(config, model=model, dataset=dataset, **open_ones)


def _values(content: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """The options that a file's content stands for. Raises DataError for an invalid value."""
    assert config.cfg_file or not content
    values = {}
    for key, (name, kind) in _KEYS.items():
        if key in content and getattr(config, name) is None:
            values[name] = _typed(content, key, kind, config.cfg_file)
    crop = values.get("image_size", [1, 1])
    if len(crop) != 2 or not all(isinstance(side, int) and side > 0 for side in crop):
        raise DataError(f"{config.cfg_file}: crop_size {crop!r} is not [height, width]")
    if values.get("nreps", 1) < 1:
        raise DataError(f"{config.cfg_file}: nreps {values['nreps']} is below 1")
    if config.pairs or config.pairing in ONCE:
        values.pop("nreps", None)
    return values


def _typed(content: Mapping[str, Any], key: str, kind: Any, file: Path | None) -> Any:
    if not isinstance(content.get(key), kind):
        found = repr(content[key]) if key in content else "missing"
        advice = f", or give `{_KEYS[key][0]}`" if key in _KEYS else ""
        raise DataError(f"{file}: {key!r} is {found}; set it there{advice}")
    return content[key]


def find_network(config: Config) -> Network:
    """The network that resolved options ask for, for its clips and with its own options.

    Raises UserError for an unknown network, for clips that it cannot take, and for options that it
    does not have.
    """
    assert config.model
    network = catalogue.find(
        config.model,
        config.dataset,
        num_classes=config.num_classes,
        seed=config.random_seed,
        clips=ClipOptions(
            frames=config.clip_frames,
            rate=config.sampling_rate,
            window=config.n_sample_frames,
            crop=config.image_size,
            mean=config.mean,
            std=config.std,
        ),
        unit_dim=config.unit_dim,
    )
    network = network.configured(_own_options(config, network))
    return replace(network, name=config.name) if config.name else network


def _own_options(config: Config, network: Network) -> dict[str, Any]:
    """The network's own options, as its configuration and the other options say."""
    content = read_cfg_file(config.cfg_file) if config.cfg_file else {}
    options = {name: content[name] for name in network.options if name in content}
    options |= content.get("extra_args", {})
    defaults = {field.name: field.default for field in fields(config)}
    for name in OWN_OPTIONS:
        value = getattr(config, name)
        if name in network.options and value is not None:
            options[name] = value
        elif value != defaults[name]:
            raise UserError(
                f"`{name}` {value}: network {network.name!r} does not have this option; leave it "
                "out"
            )
    return options
