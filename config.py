"""The command line: every option in one table, with its type, default, check and help.

`Config` is the table; `add_options` puts all of it, or a few options, into an argparse parser.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.factors import FACTORS
from common.options import (
    add_fields,
    as_text,
    boolean,
    colours,
    integer,
    names,
    option,
    positive_colours,
    thresholds,
)
from datasets.layouts import LAYOUTS
from datasets.plan import PAIRINGS
from models.network import AUTO, PATHS, RANDOM
from utils import UserError, read_json


# fmt: off
@dataclass(frozen=True)
class Config:
    """The options of a run, checked; the names are those of the study's code."""

    # What to measure.
    model: str = option(
        "i3d", str, "network to measure: a name of --list_models, torchvision:NAME, hf:FOLDER, or "
        "FILE.py:FUNCTION")
    checkpoint: str | None = option(
        None, str, "its weights: a file, 'auto' to download the published one, or 'random' for an "
        "untrained network")
    weights_dir: Path | None = option(
        None, Path, "folder of downloaded weights; default: in the user's cache")
    num_classes: int | None = option(
        None, integer(1), "classes of the checkpoint's classifier; default: as published")
    allow_other_head: bool = option(
        False, boolean, "load weights whose classifier does not fit; it stays random")
    stg: str | None = option(
        None, str, "stage, stages (2,5) or all, see --list_stages; default: the last")
    unit_dim: int | None = option(
        None, int, "axis of the units in a stage's output; default: by its shape")
    path: str = option("fast", str, "SlowFast: pathway to measure", choices=PATHS)
    fuse: bool = option(True, boolean, "SlowFast: stages 1 to 4 after the lateral connection")

    # On which videos.
    dataset: str = option("StylizedActivityNet", str, "data set", choices=tuple(LAYOUTS))
    stylized_data_dir: Path | None = option(
        None, Path, "folder with style_1, style_2, ... and the annotation files")
    normal_data_dir: Path | None = option(
        None, Path, "folder of the unstylized videos; default: original/ in stylized_data_dir")
    subset: str | None = option(None, str, "annotated subset; default: that of the study")
    styles: tuple[str, ...] = option(("1", "2", "3", "4"), names, "ids of the styles")
    n_sample_frames: int | None = option(
        None, integer(1), "raw frames that a clip spans; default: the network's, mostly 64")
    clip_frames: int | None = option(
        None, integer(1), "frames of a clip that the network sees; default: the network's")
    sampling_rate: int | None = option(
        None, integer(1), "raw frames from one of them to the next; default: the network's")
    image_size: int | None = option(
        None, integer(8), "crop in pixels; default: the network's, mostly 256", alias="crop")
    mean: tuple[float, ...] | None = option(
        None, colours, "mean of pixels in 0..1, one or per channel; default: the network's")
    std: tuple[float, ...] | None = option(
        None, positive_colours, "their standard deviation; default: the network's")
    on_bad_video: str = option(
        "stop", str, "what to do about an unreadable video", choices=("stop", "skip"))

    # Which pairs.
    random_seed: int = option(1, integer(0), "seed of the pair plan and of random weights")
    pairing: str = option("anchored", str, "how pairs are drawn, see README", choices=PAIRINGS)
    n_examples: int | None = option(
        None, integer(1), "number of pairs; default: one pass over the videos, 3000 at most")
    pairs: Path | None = option(None, Path, "a plan to use: the plan.csv of another run")
    app_shuffle: bool = option(
        True, boolean, "static pair: a clip and its shuffle (False: two videos of two classes)")
    use_normal_app: bool = option(False, boolean, "static pair: of unstylized videos")
    m_same: bool = option(
        True, boolean, "dynamic pair: one video in two styles (False: two videos of one class)")

    # How to estimate.
    n_factors: int = option(3, integer(2), "number of factors, including the residual")
    residual_index: int = option(2, integer(-1), "id of the residual factor, -1 for none")
    joint_encoding: bool = option(False, boolean, "print the joint-encoding classes as well")
    joint_encoding_thresh: tuple[float, ...] = option(
        (0.5,), thresholds, "thresholds of the joint-encoding classes")

    # How to run.
    save_dir: Path = option(Path("dim_outputs"), Path, "folder for the folders of runs")
    run_name: str | None = option(
        None, str, "folder of this run; default: network, data set and time")
    resume: Path | None = option(None, Path, "folder of an interrupted run to finish")
    batch_size: int = option(8, integer(1), "clips per forward")
    num_workers: int = option(2, integer(0), "processes that read frames, 0: none beside the main")
    device: str | None = option(
        None, str, "cpu, cuda, cuda:1, mps or a GPU's number; default: the best present")
# fmt: on
# The options that only matter where pairs are drawn.
_DRAWING = ("pairing", "n_examples", "app_shuffle", "m_same")

# The options that say which run it is.
_PLACE = ("dataset", "save_dir")


class FactorOptions(Protocol):
    """The options that say which factors there are."""

    @property
    def n_factors(self) -> int: ...
    @property
    def residual_index(self) -> int: ...


def add_options(parser: argparse.ArgumentParser, only: Sequence[str] = ()) -> None:
    """Add the options of `Config` to a parser: all, or those named in `only`."""
    add_fields(parser, Config, only)


def load_config(argv: Sequence[str] | None = None) -> Config:
    """The configuration of a run from the command line; exits with code 2 for a bad option.

    Raises UserError for options that contradict each other.
    """
    return from_given(parse(argv))


def parse(argv: Sequence[str] | None, flags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The options given on the command line of main.py; exits with code 2 for a bad one.

    flags: further options without a value, and their help; those given are True.
    """
    parser = argparse.ArgumentParser(
        prog="main.py",
        description="Measure how much static and dynamic information the stages and units of an "
        "action-recognition network encode.",
        allow_abbrev=False,
    )
    for name, text in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text)
    add_options(parser)
    return vars(parser.parse_args(argv))


def from_given(given: Mapping[str, Any]) -> Config:
    """The configuration from the options given: the others as in the resumed run, or default.

    Raises UserError for options that contradict each other.
    """
    saved: dict[str, Any] = {}
    if "resume" in given:
        saved = _saved_options(given["resume"])
        drawn = [name for name in ("pairs", "use_normal_app", *_DRAWING) if name in given]
        if drawn:
            raise UserError(f"`resume` goes on with the pairs of that run: leave out `{drawn[0]}`")
        other = [name for name in _PLACE if given.get(name, saved[name]) != saved[name]]
        if other:
            raise UserError(
                f"`resume` goes on with that run's {other[0]} {saved[other[0]]}: leave out "
                f"`{other[0]}`"
            )
    config = Config(**{**saved, **given})
    check(config)
    return config


def _saved_options(folder: Path) -> dict[str, Any]:
    """The options of the run in `folder`, which its resumption starts from."""
    if not (folder / "config.json").exists():
        raise UserError(f"`resume` {folder} is not the folder of a run: it has no config.json")
    record = read_json(folder / "config.json")
    parsers = {field.name: field.metadata["type"] for field in dataclasses.fields(Config)}
    try:
        return {
            name: parsers[name](as_text(value))
            for name, value in record["options"].items()
            if value is not None and name not in ("run_name", "resume")
        }
    except (KeyError, TypeError, AttributeError, ValueError, argparse.ArgumentTypeError) as error:
        raise UserError(
            f"`resume`: {folder / 'config.json'} is not the record of a run of this version: "
            f"{type(error).__name__} {error}"
        ) from None


def check_factors(config: FactorOptions) -> None:
    """Raise UserError for a residual index that is no factor, or the dynamic or static one."""
    allowed = [-1, *range(2, config.n_factors)]
    if config.residual_index not in allowed:
        raise UserError(
            f"`residual_index` {config.residual_index} with `n_factors` {config.n_factors}: "
            f"expected {' or '.join(map(str, allowed))}, ids 0 and 1 are dynamic and static; "
            f"give `residual_index` {allowed[-1]}"
        )


def check_pair_factors(config: FactorOptions) -> None:
    """Raise UserError for more factors than pairs can be drawn for."""
    if config.n_factors > len(FACTORS):
        raise UserError(
            f"`n_factors` {config.n_factors}: pairs exist for {len(FACTORS)} factors at most "
            f"({', '.join(FACTORS)})"
        )


def check(config: Config) -> None:
    """Raise UserError for options that contradict each other."""
    check_factors(config)
    check_pair_factors(config)
    if config.stylized_data_dir is None and config.dataset != "synthetic":
        raise UserError(
            "`stylized_data_dir` is missing: the folder that holds style_1, style_2, ... "
            "(`dataset` synthetic needs none)"
        )
    if config.normal_data_dir and not config.use_normal_app:
        raise UserError("`normal_data_dir` is for `use_normal_app` True: give both or neither")
    if config.use_normal_app and not config.app_shuffle:
        raise UserError("`use_normal_app` True goes with `app_shuffle` True")
    if config.resume and config.run_name:
        raise UserError("`resume` names the folder already: leave out `run_name`")
    drawn = [name for name in _DRAWING if getattr(config, name) != getattr(Config, name)]
    if config.pairs and drawn:
        raise UserError(f"`pairs` {config.pairs} holds the pairs already: leave out `{drawn[0]}`")


def as_json(config: Config) -> dict[str, Any]:
    """The configuration in JSON types, paths in full: a run may be resumed from elsewhere."""
    record = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    if config.checkpoint and config.checkpoint not in (RANDOM, AUTO):
        record["checkpoint"] = str(Path(config.checkpoint).absolute())
    source, _, folder = config.model.partition(":")
    if ".py:" in config.model:
        record["model"] = str(Path(config.model).absolute())
    elif source == "hf" and Path(folder).is_dir():
        record["model"] = f"hf:{Path(folder).absolute()}"
    return record
