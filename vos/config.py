"""The command line of the segmentation study, and the JSON configuration of a network beside it."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.options import add_fields, boolean, integer, names, option, thresholds
from config import check_factors, check_pair_factors
from datasets.davis import LAYOUTS
from datasets.plan import PAIRINGS
from models.network import RANDOM
from utils import DataError, UserError
from vos.registry import read_config

# Variables of the environment that say where the data are.
ENVIRONMENT = {
    "original_data_root": "ORIGINAL_DATA_ROOT",
    "stylized_data_root": "STYLIZED_DATA_ROOT",
}
# Visits of every sequence where nothing is said of them, as in the study.
NREPS = 5
# What the study's configurations say that cannot be otherwise here.
_FIXED = {"variant": "img_flow", "sampling_method": "noisy_flow"}


def size(text: str) -> tuple[int, int]:
    """Height and width, as "480,854"; for argparse."""
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a height and a width like 480,854")
    return int(parts[0]), int(parts[1])


# fmt: off
@dataclass(frozen=True)
class VosConfig:
    """The options of a run, checked; the names are those of the study's code.

    Where the JSON configuration says the same, the command line is stronger, and for the places
    of the data the environment is in between. The configuration's seed and GPU are not used.
    """

    # What to measure.
    cfg_file: Path = option(
        Path("configs/twostreamv3plus_davis.json"), Path, "JSON configuration of the network")
    checkpoint: str | None = option(
        None, str, "its weights: a file, MATNet's folder, or 'random' for an untrained network")
    trained_on: str | None = option(
        None, str, "FusionSeg: training set of the weights; default: as configured")
    stg: str = option("all", str, "stages, like layer3,app_stream,layer4,sensor_fusion, or all")

    # On which sequences.
    dataset: str = option("StylizedDAVIS", str, "data set", choices=tuple(LAYOUTS))
    original_data_root: Path | None = option(
        None, Path, "folder of DAVIS 2016 and its flow; default: as the environment's "
        "ORIGINAL_DATA_ROOT or the configuration says")
    stylized_data_root: Path | None = option(
        None, Path, "folder of Stylized DAVIS; default: as the environment's STYLIZED_DATA_ROOT or "
        "the configuration says", alias="stylized_data_dir")
    split: str | None = option(None, str, "image set; default: as configured")
    styles: tuple[str, ...] = option(("1", "2", "3", "4"), names, "ids, or folders, of the styles")
    crop_size: tuple[int, int] | None = option(
        None, size, "height,width in pixels; default: as configured, mostly 480,854")
    on_bad_video: str = option(
        "stop", str, "what to do about an unreadable sequence", choices=("stop", "skip"))

    # Which pairs.
    random_seed: int = option(1, integer(0), "seed of the plan, the jitter and random weights")
    nreps: int | None = option(
        None, integer(1), "visits of every sequence; default: as configured, mostly 5")
    pairing: str = option("anchored", str, "how pairs are drawn, see README", choices=PAIRINGS)
    pairs: Path | None = option(None, Path, "a plan to use: the plan.csv of another run")

    # How to estimate.
    n_factors: int = option(3, integer(2), "number of factors, including the residual")
    residual_index: int = option(2, integer(-1), "id of the residual factor, -1 for none")
    joint_encoding: bool = option(False, boolean, "write the joint-encoding files as well")
    joint_encoding_thresh: tuple[float, ...] = option(
        (0.5,), thresholds, "thresholds of the joint-encoding classes")

    # How to run.
    save_dir: Path = option(Path("dim_outputs/vos_models"), Path, "folder of the results")
    batch_size: int = option(8, integer(1), "clips per forward")
    num_workers: int = option(2, integer(0), "processes that read frames, 0: none beside the main")
    device: str | None = option(
        None, str, "cpu, cuda, cuda:1, mps or a GPU's number; default: the best present")
# fmt: on


@dataclass(frozen=True)
class Configured:
    """What the JSON configuration adds to the options: the network's own part of it, and the data
    with what the command line and the environment say instead."""

    network: Mapping[str, Any]
    original: Path
    stylized: Path
    split: str
    nreps: int
    crop_size: tuple[int, int]


def load_config(argv: Sequence[str] | None = None) -> VosConfig:
    """The options of a run from the command line; exits with code 2 for a bad one.

    Raises UserError for options that contradict each other.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vos.measure",
        description="Measure how much static and dynamic information the stages and units of a "
        "video-object-segmentation network encode.",
        allow_abbrev=False,
    )
    add_fields(parser, VosConfig)
    config = VosConfig(**vars(parser.parse_args(argv)))
    check_factors(config)
    check_pair_factors(config)
    if config.nreps and config.pairing == "exhaustive":
        raise UserError("`pairing` exhaustive visits every sequence once: leave out `nreps`")
    if config.pairs and (config.nreps or config.pairing != VosConfig.pairing):
        raise UserError(f"`pairs` {config.pairs} holds the pairs already: leave out `nreps`")
    return config


def configured(config: VosConfig, environment: Mapping[str, str] = os.environ) -> Configured:
    """The JSON configuration, with what the options and the environment say instead.

    Raises DataError where it is missing or lacks something, or asks for what is not supported.
    """
    content = read_config(config.cfg_file)
    _field(content, "model", str, config.cfg_file)
    _field({"trained_on": "", **content}, "trained_on", str, config.cfg_file)
    for key, expected in _FIXED.items():
        if content.get(key, expected) != expected:
            raise DataError(
                f"{config.cfg_file}: {key} {content[key]!r} is not supported; expected {expected!r}"
            )
    given = {name: value for name, value in dataclasses.asdict(config).items() if value is not None}
    values = {**content, **_from(environment), **given}
    roots = (_field(values, name, str | Path, config.cfg_file) for name in ENVIRONMENT)
    original, stylized = (Path(root) for root in roots)
    crop = _field(values, "crop_size", list | tuple, config.cfg_file)
    if len(crop) != 2 or not all(isinstance(side, int) and side > 0 for side in crop):
        raise DataError(f"{config.cfg_file}: crop_size {crop!r} is not [height, width]")
    nreps = _field({"nreps": NREPS, **values}, "nreps", int, config.cfg_file)
    if nreps < 1:
        raise DataError(f"{config.cfg_file}: nreps {nreps} is below 1")
    split = _field(values, "split", str, config.cfg_file)
    return Configured(content, original, stylized, split, nreps, (crop[0], crop[1]))


_OPTIONS = {field.name for field in dataclasses.fields(VosConfig)}


def _from(environment: Mapping[str, str]) -> dict[str, str]:
    names = ENVIRONMENT.items()
    return {name: environment[variable] for name, variable in names if environment.get(variable)}


def _field(values: Mapping[str, Any], name: str, kind: Any, file: Path) -> Any:
    if not isinstance(values.get(name), kind):
        found = repr(values[name]) if name in values else "missing"
        advice = "set it there" + (f", or give `{name}`" if name in _OPTIONS else "")
        raise DataError(f"{file}: {name!r} is {found}; {advice}")
    return values[name]


def as_json(config: VosConfig) -> dict[str, Any]:
    """The options in JSON types, paths in full."""
    record = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    if config.checkpoint and config.checkpoint != RANDOM:
        record["checkpoint"] = str(Path(config.checkpoint).absolute())
    return record
