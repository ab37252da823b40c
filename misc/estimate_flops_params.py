"""What one forward of a network costs: multiply-adds and parameters, counted on the CPU.

    python misc/estimate_flops_params.py --model i3d,slowfast_r50_8x8,x3d_s
    python misc/estimate_flops_params.py --model all --save costs.csv
    python misc/estimate_flops_params.py --model mvit --checkpoint FILE --by_module
    python misc/estimate_flops_params.py --checkpoint FOLDER --cfg_file configs/matnet_davis.json

Networks are counted in evaluation mode: one clip of an action-recognition network, in its own
size, and two samples of 240x427 pixels of a segmentation network, as in the study. Weights do not
change the cost, but a checkpoint can hold another form of its network. What counts, and how much:
models/cost.py.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _path

from common.options import script_parser
from config import Config, add_options, integer, names
from measure.pipeline import find_network
from models.network import BUILT, RANDOM, networks
from results.tables import format_table
from utils import UserError, check_output, progress, run, write_csv
from vos.registry import find as find_segmenter
from vos.registry import is_segmenter, read_config

if TYPE_CHECKING:
    from torch import nn

    from models.cost import Cost

# Options of every network, and of those for action recognition alone.
COMMON = ("checkpoint", "random_seed")
RECOGNITION = ("num_classes", "allow_other_head", "clip_frames", "dataset", "weights_dir")
# Of the segmentation networks, as the study counted them: height, width, and samples.
SEGMENTATION_SIZE, SEGMENTATION_BATCH = (240, 427), 2


@dataclass(frozen=True)
class Request:
    """What all networks of a run are asked for; None: as each of them has it.

    given: the options of `Config` that were given. size: height and width.
    """

    given: Mapping[str, Any]
    batch_size: int | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Subject:
    """What is counted: a name, the shapes of the inputs, and how the module is made.

    build: returns the module in evaluation mode, and a note on the checkpoint or "".
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    build: Callable[[], tuple[nn.Module, str]]

    @property
    def sample(self) -> str:
        """The shapes of the inputs of one sample, such as 3x8x256x256."""
        return " + ".join("x".join(map(str, shape[1:])) for shape in self.inputs)


@dataclass(frozen=True)
class Counted:
    """A subject, its cost, and the note on its checkpoint."""

    subject: Subject
    cost: Cost
    note: str


def height_and_width(text: str) -> tuple[int, int]:
    """Pixels, "224" or "240x427"."""
    found = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if not found or int(found[1]) == 0 or int(found[2] or 1) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 224 or 240x427")
    return int(found[1]), int(found[2] or found[1])


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, count, print, save."""
    options = vars(parse(argv))
    save, by_module = options.pop("save"), options.pop("by_module")
    models, cfg_file = options.pop("model"), options.pop("cfg_file")
    batch_size, size = options.pop("batch_size"), options.pop("image_size")

    replaced = check_output(save) if save else ""
    subjects = resolve(models, cfg_file, Request(options, batch_size, size))
    counted = [count(one) for one in progress(subjects, "networks", "network")]
    rows = [row for one in counted for row in as_rows(one, by_module)]
    print("evaluation mode; one multiply-add is one FLOP; FLOPs of the whole batch")
    print(as_table(rows, by_module))
    print("\n".join(remarks(counted)))
    if save:
        write_csv(save, rows)
        print(f"saved: {save}{replaced}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; exits with code 2 for a bad one."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "--model",
        type=names,
        action="extend",
        default=[],
        help="networks, separated by commas; all: every one for action recognition",
    )
    parser.add_argument("--cfg_file", type=Path, help="JSON file of a segmentation network")
    add_options(parser, (*COMMON, *RECOGNITION))
    parser.add_argument(
        "--image_size", "--crop", type=height_and_width, help="224 or 240x427; default: see above"
    )
    parser.add_argument("--batch_size", type=integer(1), help="samples; default: see above")
    parser.add_argument("--by_module", action="store_true", help="a row per part of the network")
    parser.add_argument("--save", type=Path, help=".csv file to write")
    return parser.parse_args(argv)


def resolve(models: Sequence[str], cfg_file: Path | None, request: Request) -> list[Subject]:
    """The networks that are asked for, checked as far as that goes without counting.

    Raises UserError if there is none, for an unknown one, for options, a configuration or clips
    that do not fit, and for a checkpoint that is missing or would have to serve several.
    """
    settings = read_config(cfg_file) if cfg_file else None
    if settings and not models and "model" in settings:
        models = [str(settings["model"])]
    if not models:
        missing = f"in {cfg_file} is no model" if cfg_file else "--model or --cfg_file is missing"
        raise UserError(f"{missing}: give --model NAME, or all")
    wanted = (networks() if name == "all" else (name,) for name in models)
    chosen = list(dict.fromkeys(itertools.chain.from_iterable(wanted)))
    checkpoint = request.given.get("checkpoint", RANDOM)
    for option, value in (("checkpoint", checkpoint), ("cfg_file", cfg_file or RANDOM)):
        if len(chosen) > 1 and value != RANDOM:
            raise UserError(
                f"--{option} {value} is of one network, --model names {len(chosen)}: give one "
                f"--model, or leave out --{option}"
            )
    return [
        segmentation(name, settings, request)
        if settings is not None or is_segmenter(name)
        else recognition(name, request)
        for name in chosen
    ]


def recognition(name: str, request: Request) -> Subject:
    """An action-recognition network with inputs [B, 3, T, H, W]."""
    config = Config(**{**request.given, "model": name})
    if request.size:
        height, width = request.size
        if height != width:
            raise UserError(
                f"--image_size {height}x{width}: clips of {name!r} are square; give --image_size "
                f"{height}"
            )
        config = replace(config, image_size=height)
    network = find_network(config)
    given = config.checkpoint or (None if network.own else RANDOM)
    checkpoint = network.checkpoint(given) if given else BUILT

    def build() -> tuple[nn.Module, str]:
        from models.checkpoints import load

        module, loaded = load(
            network,
            network.fetched(checkpoint, config.weights_dir),
            num_classes=config.num_classes,
            allow_other_head=config.allow_other_head,
            seed=config.random_seed,
        )
        return module, loaded.note

    batch, crop = request.batch_size or 1, network.clip.crop
    inputs = [(batch, 3, frames, crop, crop) for _, frames in network.clip.inputs]
    return Subject(network.name, tuple(inputs), build)


def segmentation(name: str, settings: Mapping[str, Any] | None, request: Request) -> Subject:
    """A segmentation network with image and flow, [B, 3, H, W] or [B, 2, 3 or 6, H, W]."""
    network = find_segmenter(name, settings)
    others = [option for option in RECOGNITION if option in request.given]
    if others:
        raise UserError(f"--{others[0]} is for networks of action recognition, not {name!r}")
    height, width = request.size or SEGMENTATION_SIZE
    if min(height, width) < network.smallest_crop:
        raise UserError(
            f"--image_size {height}x{width}: network {name!r} takes frames of at least "
            f"{network.smallest_crop} pixels"
        )
    config = Config(**{**request.given, "model": name})
    checkpoint = network.checkpoint(config.checkpoint or RANDOM)

    def build() -> tuple[nn.Module, str]:
        from vos.checkpoints import load

        module, loaded = load(network, checkpoint, seed=config.random_seed)
        return module, loaded.note

    batch = request.batch_size or SEGMENTATION_BATCH
    inputs = tuple((batch, *leading, height, width) for leading in network.inputs.values())
    return Subject(network.name, inputs, build)


def count(subject: Subject) -> Counted:
    """The cost of one forward on blank inputs. Raises UserError if the network cannot take them."""
    import torch

    from models.cost import cost
    from models.outline import first_forward

    module, note = subject.build()
    inputs = [torch.zeros(shape) for shape in subject.inputs]
    with first_forward(inputs):
        return Counted(subject, cost(module, inputs), note)


def as_rows(counted: Counted, by_module: bool) -> Iterator[dict[str, Any]]:
    """The row of a network, and with `by_module` those of its modules ("-": what is in none)."""
    subject, cost = counted.subject, counted.cost
    parts = {"": cost, **{name or "-": part for name, part in cost.by_module.items()}}
    for name, part in parts.items() if by_module else [("", cost)]:
        yield {
            "network": subject.name,
            "module": name,
            "input": subject.sample,
            "batch_size": subject.inputs[0][0],
            "flops": part.flops,
            "flops_folded": part.flops_folded,
            "params": part.params,
            "params_without_norm": part.params_without_norm,
            "uncounted_operators": None if name else sum(cost.uncounted.values()),
        }


def as_table(rows: Sequence[dict[str, Any]], by_module: bool) -> str:
    """The rows for the screen, in billions of FLOPs and millions of parameters."""
    head = ["network", "input", "batch", "GFLOPs", "without batch norm", "M params", "w/o norms"]
    lines = []
    for row in rows:
        whole = [row["network"], row["input"], str(row["batch_size"])]
        flops = [f"{row[key] / 1e9:.3f}" for key in ("flops", "flops_folded")]
        params = [f"{row[key] / 1e6:.3f}" for key in ("params", "params_without_norm")]
        lines.append([*(whole if not row["module"] else [""] * 3), *flops, *params])
    if by_module:
        head.insert(1, "module")
        for line, row in zip(lines, rows, strict=True):
            line.insert(1, row["module"])
    return format_table(head, lines)


def remarks(counted: Sequence[Counted]) -> Iterator[str]:
    """Lines on checkpoints, on what is free by convention, and on what could not be counted."""
    free = sorted({name for one in counted for name in one.cost.free})
    yield f"free by convention: {', '.join([*free, 'and what only moves or rectifies data'])}"
    for one in counted:
        name, cost = one.subject.name, one.cost
        if one.note:
            yield f"{name}, checkpoint: {one.note}"
        if cost.uncounted:
            found = ", ".join(f"{operator} ({n}x)" for operator, n in cost.uncounted.items())
            yield f"NOT COUNTED, so {name} costs more than this: {found}"
    if not any(one.cost.uncounted for one in counted):
        yield "every other operator is counted"


if __name__ == "__main__":
    sys.exit(run(main))
