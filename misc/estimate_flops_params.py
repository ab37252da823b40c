"""What one forward of a network costs: multiply-adds and parameters, counted on the CPU.

    python misc/estimate_flops_params.py --model i3d,slowfast_r50_8x8,x3d_s
    python misc/estimate_flops_params.py --model all --save costs.csv
    python misc/estimate_flops_params.py --model mvit --checkpoint FILE --by_module

Networks are counted in evaluation mode, on clips of their own size. Weights do not change the
cost, but a checkpoint can hold another form of its network. What is counted: models/cost.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from config import Config, add_options, integer, names  # noqa: E402
from estimation.results import format_table  # noqa: E402
from models.registry import RANDOM, Network, find, networks  # noqa: E402
from utils import UserError, check_output, progress, run, write_csv  # noqa: E402

if TYPE_CHECKING:
    from torch import nn

    from models.cost import Cost

OPTIONS = (
    *("checkpoint", "num_classes", "allow_other_head", "dataset", "image_size"),
    "random_seed",
)


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


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, count, print, save."""
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
        help="networks, separated by commas, or all; may be given several times",
    )
    add_options(parser, OPTIONS)
    parser.add_argument("--batch_size", type=integer(1), default=1, help="samples; default: 1")
    parser.add_argument("--by_module", action="store_true", help="a row per part of the network")
    parser.add_argument("--save", type=Path, help=".csv file to write")
    options = vars(parser.parse_args(argv))
    save, by_module = options.pop("save"), options.pop("by_module")
    models = options.pop("model")
    config = Config(**options)

    replaced = check_output(save) if save else ""
    subjects = action_subjects(models, config)
    counted = [count(subject) for subject in progress(subjects, "networks", "network")]
    rows = [row for one in counted for row in as_rows(one, by_module)]
    print(f"Evaluation mode, {samples(config.batch_size)}; one multiply-add is one FLOP.")
    print(as_table(rows, by_module))
    print("\n".join(remarks(counted)))
    if save:
        write_csv(save, rows)
        print(f"saved: {save}{replaced}")


def action_subjects(models: Sequence[str], config: Config) -> list[Subject]:
    """The action-recognition networks of `--model`, checked as far as that goes without them.

    Raises UserError for an unknown network, clips that it cannot take, or a checkpoint that is
    missing or would have to serve several networks.
    """
    if not models:
        raise UserError("--model is missing: give the names of networks, or all")
    chosen = list(networks()) if "all" in models else list(dict.fromkeys(models))
    found = [find(name, config.dataset) for name in chosen]
    if len(found) > 1 and config.checkpoint not in (None, RANDOM):
        raise UserError(
            f"--checkpoint {config.checkpoint} holds one network, --model names {len(found)}: "
            "give one --model, or leave out --checkpoint"
        )
    return [action_subject(network, config) for network in found]


def action_subject(network: Network, config: Config) -> Subject:
    """An action-recognition network with inputs [B, 3, T, H, W]."""
    crop = config.image_size or network.clip.crop
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

    inputs = [(config.batch_size, 3, frames, crop, crop) for _, frames in network.clip.inputs]
    return Subject(network.name, tuple(inputs), build)


def count(subject: Subject) -> Counted:
    """The cost of one forward on blank inputs."""
    import torch

    from models.cost import cost

    module, note = subject.build()
    return Counted(subject, cost(module, [torch.zeros(shape) for shape in subject.inputs]), note)


def samples(batch_size: int) -> str:
    """The size of the batch in words."""
    return "one sample" if batch_size == 1 else f"a batch of {batch_size} samples"


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
    head = ["network", "input", "GFLOPs", "without batch norm", "M params", "without norms"]
    lines = [
        [
            row["network"] if not row["module"] else "",
            row["input"] if not row["module"] else "",
            f"{row['flops'] / 1e9:.3f}",
            f"{row['flops_folded'] / 1e9:.3f}",
            f"{row['params'] / 1e6:.3f}",
            f"{row['params_without_norm'] / 1e6:.3f}",
        ]
        for row in rows
    ]
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
        if one.note:
            yield f"{one.subject.name}, checkpoint: {one.note}"
        if one.cost.uncounted:
            found = ", ".join(f"{name} ({times}x)" for name, times in one.cost.uncounted.items())
            yield f"NOT COUNTED, so {one.subject.name} costs more than this: {found}"
    if not any(one.cost.uncounted for one in counted):
        yield "every other operator is counted"


if __name__ == "__main__":
    sys.exit(run(main))
