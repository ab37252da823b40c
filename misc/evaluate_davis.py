"""Does a checkpoint segment? Region similarity J of a network on the masks of DAVIS 2016.

    python misc/evaluate_davis.py --cfg_file configs/matnet_davis.json --checkpoint FOLDER

Run this before you trust a network's statistics: weights that were not loaded as they were
trained show here. Frames are unstylized, everything else is as for measuring. J is that of the
DAVIS benchmark, which leaves out the first and the last frame of every sequence.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _path

from common.files import check_output, write_csv
from common.options import script_parser
from common.process import run_script
from common.tasks import SEGMENTATION
from config import Config, add_options, from_given
from datasets.chunks import in_batches
from datasets.dataset import DataSet
from datasets.davis import IMAGES, MASKS, SPLIT, SequenceSet, check_files, find_sequences
from datasets.flow_plan import FlowClip
from datasets.stylized_sequences import StylizedSequences
from measure.loaded import clips_at_once, load_network
from measure.request import find_network, resolved
from misc.outputs import given_files
from models.network import RANDOM, Network
from utils import DataError, UserError, format_table, progress, resolve_device

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from datasets.batches import Batch
    from models.checkpoints import Loaded
    from vos.jaccard import Similarity

OPTIONS = (
    *("model", "cfg_file", "name", "checkpoint", "trained_on", "original_data_root", "subset"),
    *("image_size", "random_seed", "batch_size", "num_workers", "device"),
)


@dataclass(frozen=True)
class Evaluation:
    """What will be evaluated, all of it checked.

    config: the options.
    network: its record.
    checkpoint: a file or folder, or "random".
    data: the sequences, each without its first and last frame; unstylized frames.
    """

    config: Config
    network: Network
    checkpoint: str
    data: SequenceSet

    @property
    def clips(self) -> list[FlowClip]:
        """Every frame to evaluate; a second one, where needed, is the next, round the end."""
        (style,) = self.data.styles
        two = self.network.clip.rows > 1
        return [
            FlowClip(name, frame, style, other=sequence.neighbour(frame, 1) if two else "")
            for name, sequence in self.data.videos.items()
            for frame in sequence.frames
        ]

    def describe(self) -> str:
        """What will be evaluated, for the screen."""
        height, width = self.network.clip.pixels
        n = len(self.data.videos)
        return (
            f"network: {self.network.name}, {height}x{width} pixels\n"
            f"frames: {len(self.clips)} in {n} sequences; left out, as in the DAVIS benchmark: "
            f"{2 * n}, the first and the last of each"
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, evaluate, print and save."""
    parser = script_parser(__doc__)
    add_options(parser, OPTIONS)
    parser.add_argument("--save", type=Path, help=".csv file to write")
    given = vars(parser.parse_args(argv))
    save = given.pop("save")
    replaced = check_output(save, inputs=given_files(given)) if save else ""
    evaluation = prepare(from_given(given))
    print(evaluation.describe(), flush=True)
    scores, loaded = evaluate(evaluation)
    weights = (loaded.sha256 or RANDOM)[:12]
    print(f"weights: {loaded.source}" + (f" (SHA-256 {weights}...)" if loaded.sha256 else ""))
    rows = table(scores, evaluation)
    head = ["sequence", "frames", "J mean", "J recall", "J decay"]
    print(format_table(head, [[_text(value) for value in row.values()] for row in rows]))
    if save:
        more = {"network": evaluation.network.name, "weights": weights}
        write_csv(save, [row | more for row in rows])
        print(f"saved: {save}{replaced}")


def prepare(config: Config) -> Evaluation:
    """Resolve network and sequences, and check that every file is there.

    Raises UserError for anything that is wrong with the request or the data.
    """
    config = resolved(config)
    network = find_network(config)
    if network.task != SEGMENTATION:
        raise UserError(f"network {network.name!r} does not segment: give --cfg_file or --model")
    checkpoint = network.checkpoint(config.checkpoint)
    if config.original_data_root is None:
        raise UserError("--original_data_root is missing: the folder of DAVIS 2016 and its flow")
    data = evaluated_sequences(config.original_data_root, config.subset or SPLIT, network.clip.rows)
    resolve_device(config.device)
    return Evaluation(config, network, checkpoint, data)


def evaluated_sequences(original: Path, split: str, n_flows: int) -> SequenceSet:
    """The sequences of a split, each without its first and last frame, unstylized.

    n_flows: 1 for forward flow, 2 for backward flow as well.

    Raises DataError for any missing folder or file.
    """
    # With `backward` the set leaves out what the benchmark does: the first and the last frame.
    data = find_sequences("StylizedDAVIS", original, original, split, (), backward=True)
    data = data.unstylized(flows=data.flows[:n_flows])
    for folder, what in ((IMAGES, "the unstylized frames"), (MASKS, "the annotations")):
        if not (original / folder).is_dir():
            raise DataError(
                f"{original / folder} does not exist, {what} of DAVIS 2016. Give its folder with "
                "--original_data_root"
            )
    problems = check_files(data, [(name, style) for name in data.videos for style in data.styles])
    for name, sequence in data.videos.items():
        missing = [p for f in sequence.frames if not (p := data.mask(name, f)).is_file()]
        if missing:
            problems.setdefault(name, f"{len(missing)} masks are missing, such as {missing[0]}")
    if problems:
        shown = [f"  {name}: {problem}" for name, problem in list(problems.items())[:5]]
        raise DataError(
            "\n".join([f"{len(problems)} of {len(data.videos)} sequences are incomplete:", *shown])
        )
    return data


def evaluate(evaluation: Evaluation) -> tuple[dict[str, Similarity], Loaded]:
    """Region similarity of every sequence, in order, and the checkpoint that was loaded.

    Raises UserError for a checkpoint that does not fit, or a file that cannot be read.
    """
    import torch

    from vos.jaccard import jaccard, summary
    from vos.masks import mask_of, read_mask

    data, clips = evaluation.data, evaluation.clips
    ready, loaded = load_network(evaluation.config, evaluation.network, evaluation.checkpoint)
    if loaded.note:
        print(f"checkpoint: {loaded.note}")
    values: dict[str, list[float]] = {name: [] for name in data.videos}
    with torch.inference_mode(), progress((), "frames", "frame", total=len(clips)) as bar:
        for batch in batches(evaluation, clips, ready.device):
            inputs = [x.to(ready.device) for x in batch.inputs]
            found = probabilities(evaluation, ready.module, inputs)  # [B, H, W]
            for clip, probability in zip(batch.clips, found, strict=True):
                truth = read_mask(data.mask(clip.video, clip.frame))
                values[clip.video].append(jaccard(mask_of(probability, truth.shape), truth))
            bar.update(len(batch.clips))
    return {name: summary(j) for name, j in values.items()}, loaded


def batches(
    evaluation: Evaluation, clips: Sequence[FlowClip], device: torch.device
) -> Iterator[Batch]:
    """The input batches of the clips. Raises DataError at a file that cannot be read."""
    from datasets.batches import BadVideo, iter_batches

    config = evaluation.config
    data: DataSet = StylizedSequences(evaluation.data)
    for batch in iter_batches(
        [in_batches(clips, clips_at_once(config, device))],
        data.reader(evaluation.network.clip),
        num_workers=config.num_workers,
        device=device,
    ):
        if isinstance(batch, BadVideo):
            raise DataError(f"sequence {batch.video} cannot be read: {batch.reason}. Repair it")
        yield batch


def probabilities(evaluation: Evaluation, module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """The probability of the object in the first frame of every clip, [B, H, W] of the crop.

    Networks that answer in another size have their log-odds resized to the crop, as FusionSeg and
    MATNet do themselves. Raises DataError where it is not finite.
    """
    from vos.modules.parts import resize

    network = evaluation.network
    log_odds = network.log_odds(module(*inputs)).float()  # [B, H', W']
    if not log_odds.isfinite().all():
        raise DataError(
            f"the masks of {network.name} hold NaN or inf: is {evaluation.checkpoint} whole, and "
            "of this network?"
        )
    return resize(log_odds[:, None], network.clip.pixels)[:, 0].sigmoid()


def table(scores: Mapping[str, Similarity], evaluation: Evaluation) -> list[dict[str, Any]]:
    """A row per sequence, and one of their means, called "all"."""
    from vos.jaccard import average

    lengths = {name: len(sequence.frames) for name, sequence in evaluation.data.videos.items()}
    lengths["all"] = sum(lengths.values())
    return [
        {"sequence": name, "frames": lengths[name]}
        | {f"j_{key}": value for key, value in asdict(score).items()}
        for name, score in [*scores.items(), ("all", average(scores.values()))]
    ]


def _text(value: Any) -> str:
    # Adding 0 takes the sign from a rounded -0.
    return f"{round(value, 3) + 0:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(run_script(main))
