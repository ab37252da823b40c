"""The command line: every option in one table, with its type, default, check and help.

`Config` is the table; `add_options` puts all of it, or a few options, into an argparse parser.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.layouts import LAYOUTS
from datasets.plan import PAIRINGS
from factors import FACTORS
from models.registry import AUTO, PATHS, RANDOM
from utils import UserError, read_json


def boolean(text: str) -> bool:
    """True or False from True/False/1/0 (any case)."""
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is none of True, False, 1, 0")
    return values[text.lower()]


def integer(low: int) -> Callable[[str], int]:
    """A parser of integers of at least `low`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is below {low}")
        return value

    return parse


def thresholds(text: str) -> tuple[float, ...]:
    """One or more thresholds in [-1, 1), separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of numbers like 0.3,0.5"
        ) from None
    if not all(-1 <= value < 1 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r}: thresholds lie in [-1, 1)")
    return tuple(dict.fromkeys(values))


def colours(text: str) -> tuple[float, ...]:
    """One number for all three channels, or three separated by commas."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is not one number or three like 0.4,0.4,0.5")
    return values


def positive_colours(text: str) -> tuple[float, ...]:
    """The same, above zero."""
    values = colours(text)
    if min(values) <= 0:
        raise argparse.ArgumentTypeError(f"{text!r}: standard deviations are above 0")
    return values


def names(text: str) -> tuple[str, ...]:
    """Distinct names separated by commas."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    if not parts or len(set(parts)) < len(parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of distinct names like 1,2,3,4")
    return parts


def _option(default: Any, parse: Callable[[str], Any], text: str, **extra: Any) -> Any:
    return dataclasses.field(default=default, metadata={"type": parse, "help": text, **extra})


# fmt: off
@dataclass(frozen=True)
class Config:
    """The options of a run, checked; the names are those of the study's code."""

    # What to measure.
    model: str = _option(
        "i3d", str, "network to measure: a name of --list_models, torchvision:NAME, hf:FOLDER, or "
        "FILE.py:FUNCTION")
    checkpoint: str | None = _option(
        None, str, "its weights: a file, 'auto' to download the published one, or 'random' for an "
        "untrained network")
    weights_dir: Path | None = _option(
        None, Path, "folder of downloaded weights; default: in the user's cache")
    num_classes: int | None = _option(
        None, integer(1), "classes of the checkpoint's classifier; default: as published")
    allow_other_head: bool = _option(
        False, boolean, "load weights whose classifier does not fit; it stays random")
    stg: str | None = _option(
        None, str, "stage, stages (2,5) or all, see --list_stages; default: the last")
    unit_dim: int | None = _option(
        None, int, "axis of the units in a stage's output; default: by its shape")
    path: str = _option("fast", str, "SlowFast: pathway to measure", choices=PATHS)
    fuse: bool = _option(True, boolean, "SlowFast: stages 1 to 4 after the lateral connection")

    # On which videos.
    dataset: str = _option("StylizedActivityNet", str, "data set", choices=tuple(LAYOUTS))
    stylized_data_dir: Path | None = _option(
        None, Path, "folder with style_1, style_2, ... and the annotation files")
    normal_data_dir: Path | None = _option(
        None, Path, "folder of the unstylized videos; default: original/ in stylized_data_dir")
    subset: str | None = _option(None, str, "annotated subset; default: that of the study")
    styles: tuple[str, ...] = _option(("1", "2", "3", "4"), names, "ids of the styles")
    n_sample_frames: int | None = _option(
        None, integer(1), "raw frames that a clip spans; default: the network's, mostly 64")
    clip_frames: int | None = _option(
        None, integer(1), "frames of a clip that the network sees; default: the network's")
    sampling_rate: int | None = _option(
        None, integer(1), "raw frames from one of them to the next; default: the network's")
    image_size: int | None = _option(
        None, integer(8), "crop in pixels; default: the network's, mostly 256", alias="crop")
    mean: tuple[float, ...] | None = _option(
        None, colours, "mean of pixels in 0..1, one or per channel; default: the network's")
    std: tuple[float, ...] | None = _option(
        None, positive_colours, "their standard deviation; default: the network's")
    on_bad_video: str = _option(
        "stop", str, "what to do about an unreadable video", choices=("stop", "skip"))

    # Which pairs.
    random_seed: int = _option(1, integer(0), "seed of the pair plan and of random weights")
    pairing: str = _option("anchored", str, "how pairs are drawn, see README", choices=PAIRINGS)
    n_examples: int | None = _option(
        None, integer(1), "number of pairs; default: one pass over the videos, 3000 at most")
    pairs: Path | None = _option(None, Path, "a plan to use: the plan.csv of another run")
    app_shuffle: bool = _option(
        True, boolean, "static pair: a clip and its shuffle (False: two videos of two classes)")
    use_normal_app: bool = _option(False, boolean, "static pair: of unstylized videos")
    m_same: bool = _option(
        True, boolean, "dynamic pair: one video in two styles (False: two videos of one class)")

    # How to estimate.
    n_factors: int = _option(3, integer(2), "number of factors, including the residual")
    residual_index: int = _option(2, integer(-1), "id of the residual factor, -1 for none")
    joint_encoding: bool = _option(False, boolean, "print the joint-encoding classes as well")
    joint_encoding_thresh: tuple[float, ...] = _option(
        (0.5,), thresholds, "thresholds of the joint-encoding classes")

    # How to run.
    save_dir: Path = _option(Path("dim_outputs"), Path, "folder for the folders of runs")
    run_name: str | None = _option(
        None, str, "folder of this run; default: network, data set and time")
    resume: Path | None = _option(None, Path, "folder of an interrupted run to finish")
    batch_size: int = _option(8, integer(1), "clips per forward")
    num_workers: int = _option(2, integer(0), "processes that read frames, 0: none beside the main")
    device: str | None = _option(
        None, str, "cpu, cuda, cuda:1, mps or a GPU's number; default: the best present")
# fmt: on
# The options that only matter where pairs are drawn.
_DRAWING = ("pairing", "n_examples", "app_shuffle", "m_same")

# The options that say which run it is.
_PLACE = ("dataset", "save_dir")


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def add_options(parser: argparse.ArgumentParser, only: Sequence[str] = ()) -> None:
    """Add the options of `Config` to a parser, all or those named in `only`.

    Those not given are left out of the parsed namespace: the defaults are in `Config` alone.
    """
    for option in dataclasses.fields(Config):
        if only and option.name not in only:
            continue
        text = option.metadata["help"]
        if option.default is not None:
            text += f" (default: {_as_text(option.default)})"
        choices = option.metadata.get("choices")
        spellings = (option.name, option.metadata.get("alias", option.name))
        parser.add_argument(
            *dict.fromkeys(f"--{spelling}" for spelling in spellings),
            dest=option.name,
            type=option.metadata["type"],
            default=argparse.SUPPRESS,
            help=text,
            choices=choices,
            metavar=None if choices else option.name.upper(),
        )


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
            raise UserError(f"--resume goes on with the pairs of that run: leave out --{drawn[0]}")
        other = [name for name in _PLACE if given.get(name, saved[name]) != saved[name]]
        if other:
            raise UserError(
                f"--resume goes on with that run's {other[0]} {saved[other[0]]}: leave out "
                f"--{other[0]}"
            )
    config = Config(**{**saved, **given})
    check(config)
    return config


def _saved_options(folder: Path) -> dict[str, Any]:
    """The options of the run in `folder`, which its resumption starts from."""
    if not (folder / "config.json").exists():
        raise UserError(f"--resume {folder} is not the folder of a run: it has no config.json")
    record = read_json(folder / "config.json")
    parsers = {option.name: option.metadata["type"] for option in dataclasses.fields(Config)}
    try:
        return {
            name: parsers[name](_as_text(value))
            for name, value in record["options"].items()
            if value is not None and name not in ("run_name", "resume")
        }
    except (KeyError, TypeError, AttributeError, ValueError, argparse.ArgumentTypeError) as error:
        raise UserError(
            f"--resume: {folder / 'config.json'} is not the record of a run of this version: "
            f"{type(error).__name__} {error}"
        ) from None


def check_factors(config: Config) -> None:
    """Raise UserError for a residual index that is no factor, or the dynamic or static one."""
    allowed = [-1, *range(2, config.n_factors)]
    if config.residual_index not in allowed:
        raise UserError(
            f"--residual_index {config.residual_index} with --n_factors {config.n_factors}: "
            f"expected {' or '.join(map(str, allowed))}, ids 0 and 1 are dynamic and static; "
            f"give --residual_index {allowed[-1]}"
        )


def check(config: Config) -> None:
    """Raise UserError for options that contradict each other."""
    check_factors(config)
    if config.n_factors > len(FACTORS):
        raise UserError(
            f"--n_factors {config.n_factors}: pairs exist for {len(FACTORS)} factors at most "
            f"({', '.join(FACTORS)})"
        )
    if config.stylized_data_dir is None and config.dataset != "synthetic":
        raise UserError(
            "--stylized_data_dir is missing: the folder that holds style_1, style_2, ... "
            "(--dataset synthetic needs none)"
        )
    if config.normal_data_dir and not config.use_normal_app:
        raise UserError("--normal_data_dir is for --use_normal_app True: give both or neither")
    if config.use_normal_app and not config.app_shuffle:
        raise UserError("--use_normal_app True goes with --app_shuffle True")
    if config.resume and config.run_name:
        raise UserError("--resume names the folder already: leave out --run_name")
    drawn = [name for name in _DRAWING if getattr(config, name) != getattr(Config, name)]
    if config.pairs and drawn:
        raise UserError(f"--pairs {config.pairs} holds the pairs already: leave out --{drawn[0]}")


def as_json(config: Config) -> dict[str, Any]:
    """The configuration in JSON types, paths in full: a run may be resumed from elsewhere."""
    record = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    if config.checkpoint and config.checkpoint not in (RANDOM, AUTO):
        record["checkpoint"] = str(Path(config.checkpoint).absolute())
    if ".py:" in config.model:
        record["model"] = str(Path(config.model).absolute())
    return record
