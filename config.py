"""The command line: every option in one table, with its type, default, check and help.

`Config` is the table; `add_options` puts all of it, or a few options, into an argparse parser.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from common.factors import FACTORS
from common.files import read_json
from common.options import (
    LARGEST_SEED,
    Parser,
    add_fields,
    as_text,
    boolean,
    colours,
    integer,
    names,
    option,
    percent,
    positive_colours,
    probability,
    size,
    thresholds,
)
from common.tasks import RECOGNITION, SEGMENTATION
from datasets.catalogue import DATASETS
from datasets.pair_plan import ONCE, PAIRINGS
from models import catalogue
from models.network import AUTO, RANDOM
from models.tables.resnet import PATHS
from models.way import FP32, HALF, SWITCHES
from utils import UserError

_what = partial(option, group="what to measure")
_videos = partial(option, group="on which videos")
_pairs = partial(option, group="which pairs")
_estimate = partial(option, group="how to estimate")
_run = partial(option, group="how to run")


PRECISIONS = (FP32, *HALF, AUTO)


def size_or_auto(text: str) -> int | None:
    """A number of clips, or "auto", which is None."""
    return None if text == AUTO else integer(1)(text)


def ways(text: str) -> str:
    """ "auto", "plain", or steps joined by "+"."""
    unknown = [step for step in text.split("+") if step not in SWITCHES]
    if text not in ("auto", "plain") and unknown:
        raise argparse.ArgumentTypeError(
            f"{unknown[0]!r} is not known. Available: auto, plain, or some of "
            f"{', '.join(SWITCHES)}, joined by +; half precision is for `precision`"
        )
    return text


# More raw frames than any clip has.
MOST_FRAMES = 10**5


# fmt: off
@dataclass(frozen=True)
class Config:
    """The options of a run, checked; the names are those of the study's code.

    Values may be given as texts, as on the command line. What is None is
    taken from the JSON configuration in `cfg_file`, else it is the default of the network.

    Raises UserError, with the field, for a value that its option cannot have.
    """

    model: str | None = _what(
        None, str, "network: a name of --list_models, torchvision:NAME, hf:FOLDER, or "
        "FILE.py:FUNCTION; default: that of --cfg_file, else i3d", several=True)
    cfg_file: Path | None = _what(
        None, Path, "JSON configuration of a network and its data", task=SEGMENTATION)
    name: str | None = _what(
        None, str, "what the network is called in results; default: its own name")
    checkpoint: str | None = _what(
        None, str, "its weights: a file, MATNet's folder, 'auto' to download the published ones, "
        "or 'random' for an untrained network")
    weights_dir: Path | None = _what(
        None, Path, "folder of downloaded weights; default: in the user's cache")
    trained_on: str | None = _what(
        None, str, "FusionSeg: training set of the weights; default: davis")
    num_classes: int | None = _what(
        None, integer(1), "classes of the checkpoint's classifier; default: as published",
        task=RECOGNITION)
    allow_other_head: bool = _what(
        False, boolean, "load weights whose classifier does not fit; it stays random",
        task=RECOGNITION)
    stg: str = _what(
        "all", str, "stage, stages (2,5 or layer3,app_stream) or all, see --list_stages")
    unit_dim: int | None = _what(
        None, int, "axis of the units in a stage's output; default: by its shape")
    path: str = _what("fast", str, "SlowFast: pathway to measure", choices=PATHS)
    fuse: bool = _what(True, boolean, "SlowFast: stages 1 to 4 after the lateral connection")

    dataset: str | None = _videos(
        None, str, "data set; default: StylizedActivityNet, for segmentation StylizedDAVIS",
        choices=tuple(DATASETS), several=True)
    stylized_data_dir: Path | None = _videos(
        None, Path, "folder of the stylized videos, with style_1, style_2, ... and the annotation "
        "files, or that of Stylized DAVIS", alias=("stylized_data_root",))
    original_data_root: Path | None = _videos(
        None, Path, "folder of DAVIS 2016 and its flow", task=SEGMENTATION)
    normal_data_dir: Path | None = _videos(
        None, Path, "folder of the unstylized videos; default: original/ in --stylized_data_dir",
        task=RECOGNITION)
    subset: str | None = _videos(
        None, str, "annotated subset, or image set; default: that of the study", alias=("split",))
    styles: tuple[str, ...] = _videos(("1", "2", "3", "4"), names, "ids of the styles")
    start: str | None = _videos(
        None, str, "where clips start; for data sets plain and synthetic; default: random",
        task=RECOGNITION, choices=("first", "random", "middle"))
    n_sample_frames: int | None = _videos(
        None, integer(1, MOST_FRAMES),
        "raw frames that a clip spans; default: the network's, mostly 64",
        task=RECOGNITION)
    clip_frames: int | None = _videos(
        None, integer(1, MOST_FRAMES),
        "frames of a clip that the network sees; default: the network's",
        task=RECOGNITION)
    sampling_rate: int | None = _videos(
        None, integer(1, MOST_FRAMES),
        "raw frames from one sampled frame to the next, on average; default: the network's",
        task=RECOGNITION)
    image_size: tuple[int, int] | None = _videos(
        None, size, "crop in pixels, 256 or height,width; default: the network's, mostly 256, for "
        "segmentation 480,854", alias=("crop", "crop_size"))
    mean: tuple[float, ...] | None = _videos(
        None, colours, "mean of pixels in 0..1, one or per channel; default: the network's",
        task=RECOGNITION)
    std: tuple[float, ...] | None = _videos(
        None, positive_colours, "standard deviation, given as the mean is; default: the network's",
        task=RECOGNITION)
    on_bad_video: str = _videos(
        "stop", str, "what to do about an unreadable video", choices=("stop", "skip"))
    on_nan: str = _videos(
        "stop", str, "what to do about a video for which the network gives NaN or inf",
        choices=("stop", "skip"))
    max_bad: float = _videos(
        20.0, percent, "skipping stops when more than this percentage of the videos is left out")
    thorough: bool = _videos(
        False, boolean, "compare the contents of frames when a run goes on, not their times")

    random_seed: int = _pairs(
        1, integer(0, LARGEST_SEED), "seed of the pair plan, jitter and random weights",
        several=True)
    pairing: str = _pairs(
        "anchored", str, "how pairs are sampled, see docs/numbers.md", choices=PAIRINGS)
    n_examples: int | None = _pairs(
        None, integer(1, 10**7), "number of scored pairs; default: one pass over the videos, 3000 "
        "at most",
        task=RECOGNITION)
    nreps: int | None = _pairs(
        None, integer(1, 10**5), "passes over the sequences; default: 5", task=SEGMENTATION)
    pairs: Path | None = _pairs(None, Path, "a plan to use: the plan.csv of another run")
    parts: bool = _pairs(
        True, boolean, "different pairs as well, which are not scored: they part the variance")
    app_shuffle: bool = _pairs(
        True, boolean, "static pair: a clip and its shuffle (False: two videos of two classes)",
        task=RECOGNITION)
    use_normal_app: bool = _pairs(
        False, boolean, "static pair: of unstylized videos", task=RECOGNITION)
    m_same: bool = _pairs(
        True, boolean, "dynamic pair: one video in two styles (False: two videos of one class)",
        task=RECOGNITION)

    n_factors: int = _estimate(3, integer(2, 1000), "number of factors, including the residual")
    residual_index: int = _estimate(2, integer(-1), "id of the residual factor, -1 for none")
    joint_encoding: bool = _estimate(
        False, boolean, "show the joint-encoding classes as well, and write the study's files of "
        "them")
    joint_encoding_thresh: tuple[float, ...] = _estimate(
        (0.5,), thresholds, "thresholds of the joint-encoding classes")
    confidence: float = _estimate(0.95, probability, "of the intervals")
    groups: Path | None = _estimate(
        None, Path, "csv file (video,group) of videos that were cut from one source: intervals "
        "take each group for one video")

    save_dir: Path = _run(Path("dim_outputs"), Path, "parent folder of all runs")
    run_name: str | None = _run(
        None, str, "folder of this run; default: network, data set and seed")
    resume: Path | None = _run(
        None, Path, "folder of a run to finish, or to estimate anew",
        alone="without a folder: the unfinished run of these options in --save_dir")
    batch_size: int | None = _run(
        None, size_or_auto, "clips per forward; default: auto, the fastest number within memory")
    precision: str = _run(
        "fp32", str, "of the forwards, where it is faster: fp32, half precision (bf16, fp16), or "
        "auto, half precision where features stay within 1/500", choices=PRECISIONS)
    way: str = _run(
        "auto", ways, "how forwards are computed: auto, the fastest way, tried in a run that is "
        "long enough; plain; or steps of another run's record, such as channels_last+folded")
    num_workers: int = _run(2, integer(0), "processes that read frames; 0: the main process")
    device: str | None = _run(
        None, str, "cpu, cuda, cuda:1, mps or a GPU's number; default: the best available")
# fmt: on

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                object.__setattr__(self, field.name, _parsed(field, value))


    @property
    def place(self) -> Path:
        """The folder of the folders of runs; that of a resumed run may have been moved."""
        return self.resume.absolute().parent if self.resume else self.save_dir


def _in_full(value: Any) -> Any:
    return value.absolute() if isinstance(value, Path) else value


def _parsed(field: dataclasses.Field, value: Any) -> Any:
    """A value as the command line would read it. Raises UserError if it cannot be one."""
    try:
        return field.metadata["type"](as_text(value))
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UserError(f"`{field.name}`: {error}") from None


# What is measured where nothing else is said, as in the study.
USUAL_MODEL = "i3d"
# Bytes of a name that others are made of; those of files have 255 at most.
LONGEST_NAME = 150
# Options of which main.py takes several values, the one that changes last first.
SWEPT = ("dataset", "random_seed", "model")
# Options that only matter where pairs are sampled.
SAMPLING = ("start", "pairing", "n_examples", "nreps", "app_shuffle", "m_same")

# Options that say which run it is.
_PLACE = ("dataset", "save_dir", "random_seed", "subset", "styles", "thorough")


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
    (given,) = combinations(parse(argv))
    return from_given(given)


def parse(argv: Sequence[str] | None, flags: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The options given on the command line of main.py; exits with code 2 for a bad one.

    Those of `SWEPT` are tuples, and `resume` is None where it is given without a folder.

    flags: further options without a value, and their help; those given are True.
    """
    parser = Parser(
        prog="main.py",
        usage="%(prog)s [--model NAME] [OPTION VALUE ...]",
        description="Measure how much static and dynamic information the stages and units of a "
        "video network encode. Options that are for one task alone say so.",
        allow_abbrev=False,
    )
    for name, text in (flags or {}).items():
        parser.add_argument(f"--{name}", action="store_true", default=argparse.SUPPRESS, help=text)
    add_fields(parser, Config, runs=True)
    return vars(parser.parse_args(argv))


def combinations(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The options of every run that is asked for: those that `parse` gives, with one value of each
    of `SWEPT`.

    Raises UserError for a list that is a path with a comma in it.
    """
    file, python, _ = ",".join(given.get("model", ())).removeprefix("hf:").partition(".py:")
    path = f"{file}.py" if python else file
    if "," in path and Path(path).exists():
        raise UserError(f"`model`: commas separate networks, and {path} has one: rename it")
    swept = [name for name in SWEPT if name in given]
    products = itertools.product(*(given[name] for name in swept))
    return [{**given, **dict(zip(swept, values, strict=True))} for values in products]


def from_given(given: Mapping[str, Any]) -> Config:
    """The configuration from the options given: the others as in the resumed run, or default.

    Raises UserError for options that contradict each other.
    """
    saved: dict[str, Any] = {}
    if "resume" in given:
        saved = _saved_options(given["resume"])
        of_plan = ("pairs", "parts", "use_normal_app", *SAMPLING)
        sampled = [name for name in of_plan if name in given]
        if sampled:
            raise UserError(
                f"`resume` goes on with the pairs of that run: leave out `{sampled[0]}`"
            )
        other = [
            name
            for name in _PLACE
            if name in given and _in_full(given[name]) != _in_full(saved.get(name))
        ]
        if other:
            raise UserError(
                f"`resume` goes on with that run's {other[0]} {as_text(saved.get(other[0]))}: "
                f"leave out `{other[0]}`"
            )
    config = Config(**{**saved, **given})
    check(config)
    require_task(list(given), task_of(config))
    return config


def task_of(config: Config) -> str:
    """What the network that is asked for was trained for."""
    return SEGMENTATION if config.cfg_file else catalogue.task_of(config.model or USUAL_MODEL)


def _saved_options(folder: Path) -> dict[str, Any]:
    """The options of the run in `folder`, which its resumption starts from."""
    if not (folder / "config.json").exists():
        raise UserError(f"`resume` {folder} is not the folder of a run: it has no config.json")
    record = read_json(folder / "config.json")
    parsers = {field.name: field.metadata["type"] for field in dataclasses.fields(Config)}
    try:
        saved = {
            name: parsers[name](as_text(value))
            for name, value in record["options"].items()
            if value is not None and name not in ("run_name", "resume")
        }
        # In older records no `stg` stands for the last stage alone.
        return {"stg": ",".join(record.get("stages", ["all"])), **saved}
    except (KeyError, TypeError, AttributeError, ValueError, argparse.ArgumentTypeError) as error:
        raise UserError(
            f"`resume`: {folder / 'config.json'} is not the record of a run of this version: "
            f"{type(error).__name__} {error}"
        ) from None


def check_factors(config: FactorOptions) -> None:
    """Raise UserError for a residual index that is no factor, or the dynamic or static one."""
    last = config.n_factors - 1
    if config.residual_index != -1 and not 2 <= config.residual_index <= last:
        allowed = "" if last < 2 else " or 2" if last == 2 else f" or 2 to {last}"
        raise UserError(
            f"`residual_index` {config.residual_index} with `n_factors` {config.n_factors}: "
            f"expected -1{allowed}, ids 0 and 1 are dynamic and static; give `residual_index` "
            f"{last if last > 1 else -1}"
        )


def check(config: Config) -> None:
    """Raise UserError for options that contradict each other."""
    check_factors(config)
    if config.n_factors > len(FACTORS):
        raise UserError(
            f"`n_factors` {config.n_factors}: pairs exist for {len(FACTORS)} factors at most "
            f"({', '.join(FACTORS)})"
        )
    if config.normal_data_dir and not config.use_normal_app:
        raise UserError("`normal_data_dir` is for `use_normal_app` True: give both or neither")
    if config.use_normal_app and not config.app_shuffle:
        raise UserError("`use_normal_app` True goes with `app_shuffle` True")
    if config.resume and config.run_name:
        raise UserError("`resume` names the folder already: leave out `run_name`")
    name = config.run_name
    if name is not None and (name in ("", "..") or Path(name).name != name):
        raise UserError(f"`run_name` {name!r} is no name of a folder in `save_dir`")
    for field in ("run_name", "name"):
        text = getattr(config, field) or ""
        if text != text.encode("utf-8", "replace").decode():
            raise UserError(f"`{field}` {text!r} is not UTF-8: give another one")
        size = len(text.encode())
        if size > LONGEST_NAME:
            raise UserError(
                f"`{field}` has {size} bytes, more than the name of a folder can have: give one of "
                f"{LONGEST_NAME} at most"
            )
    sampled = [name for name in SAMPLING if name in changed(config) and name != "n_examples"]
    if config.pairs and sampled:
        raise UserError(f"`pairs` {config.pairs} holds the pairs already: leave out `{sampled[0]}`")
    if config.nreps and config.pairing in ONCE:
        raise UserError(f"`pairing` {config.pairing} shows every sequence once: leave out `nreps`")


def changed(config: Config) -> list[str]:
    """The options that are not as they are by default."""
    return [f.name for f in dataclasses.fields(config) if getattr(config, f.name) != f.default]


def require_task(given: Sequence[str], task: str) -> None:
    """Raise UserError for an option among `given` that is for networks of another task."""
    for field in dataclasses.fields(Config):
        own = field.metadata.get("task", task)
        if field.name in given and own != task:
            raise UserError(
                f"`{field.name}` is for networks of {own}, and this is one of {task}: leave it out"
            )


def as_json(config: Config) -> dict[str, Any]:
    """The configuration in JSON types, paths in full: a run may be resumed from elsewhere."""
    record = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(config).items()
    }
    if config.checkpoint and config.checkpoint not in (RANDOM, AUTO):
        record["checkpoint"] = str(Path(config.checkpoint).absolute())
    source, _, folder = (config.model or "").partition(":")
    if config.model and ".py:" in config.model:
        record["model"] = str(Path(config.model).absolute())
    elif source == "hf" and Path(folder).is_dir():
        record["model"] = f"hf:{Path(folder).absolute()}"
    return record
