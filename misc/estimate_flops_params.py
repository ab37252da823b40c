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
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import Config, add_options, integer, names  # noqa: E402
from estimation.results import format_table  # noqa: E402
from models.registry import RANDOM, Network, find, networks  # noqa: E402
from utils import UserError, check_output, progress, read_json, run, write_csv  # noqa: E402
from vos import registry as vos  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

    from models.cost import Cost

OPTIONS = ("checkpoint", "num_classes", "allow_other_head", "dataset", "random_seed")
# Of the segmentation networks, as the study counted them: height, width, and samples.
SEGMENTATION_SIZE, SEGMENTATION_BATCH = (240, 427), 2
# Modules that a published network runs so many times on the same input, and ours once.
TIMES = {"matnet": {f"decoder.RF{level}.pdc.block1": 3 for level in (2, 3, 4)}}


@dataclass(frozen=True)
class Request:
    """What all networks of a run are asked for; size: height and width, None for their own."""

    config: Config
    batch_size: int | None
    size: tuple[int, int] | None


@dataclass(frozen=True)
class Subject:
    """What is counted: a name, the shapes of the inputs, and how the module is made.

    build: returns the module in evaluation mode, and a note on the checkpoint or "".
    times: modules that count several times, see `models.cost.cost`.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    build: Callable[[], tuple[nn.Module, str]]
    times: Mapping[str, int] = field(default_factory=dict)

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
    request = Request(Config(**options), batch_size, size)

    replaced = check_output(save) if save else ""
    subjects = [subject(network, request) for network in resolve(models, cfg_file, request.config)]
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
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--model",
        type=names,
        action="extend",
        default=[],
        help="networks, separated by commas; all: every one for action recognition",
    )
    parser.add_argument("--cfg_file", type=Path, help="JSON file of a segmentation network")
    add_options(parser, OPTIONS)
    parser.add_argument(
        "--image_size", type=height_and_width, help="pixels, 224 or 240x427; default: see above"
    )
    parser.add_argument("--batch_size", type=integer(1), help="samples; default: see above")
    parser.add_argument("--by_module", action="store_true", help="a row per part of the network")
    parser.add_argument("--save", type=Path, help=".csv file to write")
    return parser.parse_args(argv)


def resolve(
    models: Sequence[str], cfg_file: Path | None, config: Config
) -> list[Network | vos.Segmenter]:
    """The networks that are asked for.

    Raises UserError if there is none, for an unknown one, for a configuration that does not fit,
    or for a checkpoint that would have to serve several.
    """
    if cfg_file:
        return [configured(models, cfg_file)]
    if not models:
        raise UserError(
            "--model or --cfg_file is missing: give --model NAME (or all), or the configuration "
            "of a segmentation network with --cfg_file"
        )
    chosen = list(networks()) if "all" in models else list(dict.fromkeys(models))
    segmenters = {*vos.networks(), *vos.GONE}
    found = [
        vos.find(name) if name in segmenters else find(name, config.dataset) for name in chosen
    ]
    if len(found) > 1 and config.checkpoint not in (None, RANDOM):
        raise UserError(
            f"--checkpoint {config.checkpoint} holds one network, --model names {len(found)}: "
            "give one --model, or leave out --checkpoint"
        )
    return found


def configured(models: Sequence[str], cfg_file: Path) -> vos.Segmenter:
    """The segmentation network of a configuration, which `--model` may name as well."""
    content = read_json(cfg_file)
    if not isinstance(content, dict) or not (models or "model" in content):
        raise UserError(f"{cfg_file} does not say which model it is for: give --model NAME as well")
    if len(models) > 1:
        raise UserError(f"--cfg_file {cfg_file} is of one network, --model names {len(models)}")
    return vos.find(models[0] if models else str(content["model"]), content)


def subject(network: Network | vos.Segmenter, request: Request) -> Subject:
    """A network with its inputs, checked as far as that goes without building it."""
    make = _segmentation if isinstance(network, vos.Segmenter) else _action
    return make(network, request)  # type: ignore[arg-type]


def _action(network: Network, request: Request) -> Subject:
    """An action-recognition network with inputs [B, 3, T, H, W]."""
    config, crop = request.config, network.clip.crop
    if request.size:
        crop = request.size[0]
        if request.size != (crop, crop):
            raise UserError(
                f"--image_size {crop}x{request.size[1]}: clips of {network.name!r} are square; "
                f"give --image_size {crop}"
            )
        network.check_crop(crop)
    checkpoint = network.checkpoint(config.checkpoint or RANDOM)

    def build() -> tuple[nn.Module, str]:
        from models.checkpoints import load

        module, loaded = load(
            network,
            checkpoint,
            num_classes=config.num_classes,
            allow_other_head=config.allow_other_head,
            seed=config.random_seed,
        )
        return module, loaded.note

    batch = request.batch_size or 1
    inputs = [(batch, 3, frames, crop, crop) for _, frames in network.clip.inputs]
    return Subject(network.name, tuple(inputs), build)


def _segmentation(network: vos.Segmenter, request: Request) -> Subject:
    """A segmentation network with image and flow, [B, 3, H, W] or [B, 2, 3 or 6, H, W]."""
    config, size = request.config, request.size or SEGMENTATION_SIZE
    if config.num_classes:
        raise UserError(f"--num_classes is not for segmentation networks such as {network.name!r}")
    if min(size) < network.smallest_crop:
        raise UserError(
            f"--image_size {size[0]}x{size[1]}: network {network.name!r} takes frames of at least "
            f"{network.smallest_crop} pixels"
        )
    checkpoint = network.checkpoint(config.checkpoint or RANDOM)

    def build() -> tuple[nn.Module, str]:
        from vos.checkpoints import load

        module, loaded = load(network, checkpoint, seed=config.random_seed)
        return module, loaded.note

    batch = request.batch_size or SEGMENTATION_BATCH
    inputs = tuple((batch, *leading, *size) for leading in network.inputs.values())
    return Subject(network.name, inputs, build, TIMES.get(network.name, {}))


def count(subject: Subject) -> Counted:
    """The cost of one forward on blank inputs."""
    import torch

    from models.cost import cost

    module, note = subject.build()
    inputs = [torch.zeros(shape) for shape in subject.inputs]
    return Counted(subject, cost(module, inputs, subject.times), note)


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
    """Lines on what is free by convention, what was counted several times, and what not at all."""
    free = sorted({name for one in counted for name in one.cost.free})
    yield f"free by convention: {', '.join([*free, 'and what only moves or rectifies data'])}"
    for one in counted:
        name, cost = one.subject.name, one.cost
        if one.note:
            yield f"{name}, checkpoint: {one.note}"
        if cost.repeated:
            yield (
                f"{name}: {cost.repeated / 1e9:.3f} GFLOPs of this are repeats, in the published "
                f"code, of {', '.join(one.subject.times)} on the same input; here they run once"
            )
        if cost.uncounted:
            found = ", ".join(f"{operator} ({n}x)" for operator, n in cost.uncounted.items())
            yield f"NOT COUNTED, so {name} costs more than this: {found}"
    if not any(one.cost.uncounted for one in counted):
        yield "every other operator is counted"


if __name__ == "__main__":
    sys.exit(run(main))
