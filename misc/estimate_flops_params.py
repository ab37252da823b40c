"""What one forward of a network costs: multiply-adds and parameters, counted on the CPU.

    python misc/estimate_flops_params.py --model i3d,slowfast_r50_8x8,x3d_s
    python misc/estimate_flops_params.py --model all --save costs.csv
    python misc/estimate_flops_params.py --model mvit --checkpoint FILE --by_module
    python misc/estimate_flops_params.py --checkpoint FOLDER --cfg_file configs/matnet_davis.json

Networks are counted in evaluation mode: one clip of an action-recognition network, in its own
size, and two clips of 240x427 pixels of a segmentation network, as in the study. Weights do not
change the cost, but a checkpoint can hold another form of its network. What counts, and how much:
models/cost.py.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _path

from common.files import check_output, write_csv
from common.options import integer, names, script_parser
from common.process import run_script
from config import Config, add_options, from_given
from datasets.geometry import ClipOptions
from measure.prepare import fetched
from measure.request import find_network, read_cfg_file, resolved
from misc.outputs import given_files
from models.catalogue import networks
from models.network import BUILT, RANDOM, Network
from utils import UserError, format_table, progress

if TYPE_CHECKING:
    import argparse

    from models.cost import Cost

OPTIONS = (
    *("cfg_file", "checkpoint", "random_seed", "num_classes", "allow_other_head", "clip_frames"),
    *("dataset", "weights_dir", "image_size"),
)


@dataclass(frozen=True)
class Counted:
    """A network whose cost is known.

    network: its name.
    shapes: of each input of one clip, such as "3x8x256x256".
    batch_size: clips.
    cost: of all of them.
    note: on its checkpoint.
    """

    network: str
    shapes: str
    batch_size: int
    cost: Cost
    note: str


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, count, print, save."""
    options = vars(parse(argv))
    save, by_module = options.pop("save"), options.pop("by_module")
    models, batch_size = options.pop("model"), options.pop("batch_size")

    replaced = check_output(save, inputs=given_files(options)) if save else ""
    wanted = resolve(models, batch_size, options)
    counted = [count(*one) for one in progress(wanted, "networks", "network")]
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
        help="networks, separated by commas; all: every one of the study",
    )
    add_options(parser, OPTIONS)
    parser.add_argument("--batch_size", type=integer(1), help="clips; default: see above")
    parser.add_argument("--by_module", action="store_true", help="a row per part of the network")
    parser.add_argument("--save", type=Path, help=".csv file to write")
    return parser.parse_args(argv)


def resolve(
    models: Sequence[str], batch_size: int | None, options: dict[str, Any]
) -> list[tuple[Config, Network]]:
    """The networks that are asked for, and their options; nothing is counted yet.

    Raises UserError if there is none, for an unknown one, for options, a configuration or clips
    that do not fit, and for a checkpoint that is missing or would have to serve several.
    """
    cfg_file = options.get("cfg_file")
    if not models and cfg_file:
        models = [read_cfg_file(cfg_file)["model"]]
    if not models:
        raise UserError("--model or --cfg_file is missing: give --model NAME, or all")
    wanted = (networks() if name == "all" else (name,) for name in models)
    chosen = list(dict.fromkeys(itertools.chain.from_iterable(wanted)))
    for option, value in (
        ("checkpoint", options.get("checkpoint", RANDOM)),
        ("cfg_file", cfg_file or RANDOM),
    ):
        if len(chosen) > 1 and value != RANDOM:
            raise UserError(
                f"--{option} {value} is of one network, --model names {len(chosen)}: give one "
                f"--model, or leave out --{option}"
            )
    return [resolve_one({**options, "model": name}, batch_size) for name in chosen]


def resolve_one(options: dict[str, Any], batch_size: int | None) -> tuple[Config, Network]:
    """A network that is asked for, for the clips that it is counted on, and its options."""
    config = resolved(from_given(options))
    network = find_network(config)
    clip = network.clip
    if "image_size" not in options:
        network = replace(network, clip=clip.changed(ClipOptions(crop=clip.cost_size)))
    given = config.checkpoint or (None if network.weights.built else RANDOM)
    checkpoint = network.checkpoint(given) if given else BUILT
    return replace(config, checkpoint=checkpoint, batch_size=batch_size or clip.cost_clips), network


def count(config: Config, network: Network) -> Counted:
    """The cost of one forward on blank inputs. Raises UserError if the network cannot take them."""
    from models.checkpoints import load
    from models.cost import cost
    from models.outline import first_forward, zeros

    assert config.checkpoint
    module, loaded = load(
        network,
        fetched(config, network, config.checkpoint),
        num_classes=config.num_classes,
        allow_other_head=config.allow_other_head,
        seed=config.random_seed,
    )
    clips = config.batch_size or 1
    inputs = zeros(network.clip, clips=clips)
    shapes = " + ".join("x".join(map(str, shape)) for shape in network.clip.shapes.values())
    with first_forward(inputs):
        return Counted(network.name, shapes, clips, cost(module, inputs), loaded.note)


def as_rows(counted: Counted, by_module: bool) -> Iterator[dict[str, Any]]:
    """The row of a network, and with `by_module` those of its modules ("-": what is in none)."""
    cost = counted.cost
    parts = {"": cost, **{name or "-": part for name, part in cost.by_module.items()}}
    for name, part in parts.items() if by_module else [("", cost)]:
        yield {
            "network": counted.network,
            "module": name,
            "input": counted.shapes,
            "batch_size": counted.batch_size,
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
        name, cost = one.network, one.cost
        if one.note:
            yield f"{name}, checkpoint: {one.note}"
        if cost.uncounted:
            found = ", ".join(f"{operator} ({n}x)" for operator, n in cost.uncounted.items())
            yield f"NOT COUNTED, so {name} costs more than this: {found}"
    if not any(one.cost.uncounted for one in counted):
        yield "every other operator is counted"


if __name__ == "__main__":
    sys.exit(run_script(main))
