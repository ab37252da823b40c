"""A picture of pairs: what those of every factor look like on the data at hand.

    python misc/contact_sheet.py --resume dim_outputs/RUN --save pairs.png
    python misc/contact_sheet.py --dataset plain --stylized_data_dir DIR --save pairs.png
    python misc/contact_sheet.py --cfg_file configs/matnet_davis.json --save pairs.png

The frames are those that the network sees, cropped and in its order, in their own colours; for
segmentation networks, each frame and its flow. Where a network brings its own preprocessing, the
middle square of the frames stands for its crop. Takes main.py's options; no network is run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _path

import numpy as np

from common.factors import FACTORS
from common.files import atomic_path, check_output
from common.options import integer, script_parser
from common.process import run_script
from config import Config, add_options, from_given
from datasets.chunks import in_batches
from datasets.pair_plan import Pair
from measure.prepare import prepare
from measure.request import find_network, resolved
from measure.run import Run
from misc.outputs import given_files
from models.network import RANDOM
from results.colours import COLOURS
from utils import DataError

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

MAX_FRAMES = 8
SHARES = {
    "dynamic": "same motion, other appearance",
    "static": "same appearance, other motion",
    "different": "other motion, other appearance",
    "same": "one clip twice",
}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, choose pairs, plot."""
    parser = script_parser(__doc__)
    add_options(parser)
    parser.add_argument("--rows", type=integer(1), default=3, help="pairs per factor (default: 3)")
    parser.add_argument("--save", type=Path, default=Path("pairs.png"), help="PNG to write")
    options = vars(parser.parse_args(argv))
    rows, save = options.pop("rows"), options.pop("save")
    replaced = check_output(save, inputs=given_files(options))
    prepared = prepare(without_weights(from_given(options)))
    pairs = choose_pairs(prepared.plan.pairs, rows)
    plot_sheet(save, pairs, clip_pictures(prepared, pairs))
    print(f"{len(pairs)} pairs: {save}{replaced}")


def without_weights(config: Config) -> Config:
    """The options of a run that needs no weights: a checkpoint may be missing, or be elsewhere."""
    built = find_network(resolved(config)).weights.built
    return replace(config, checkpoint=None if built else RANDOM)


def choose_pairs(pairs: Sequence[Pair], rows: int) -> list[Pair]:
    """The first `rows` pairs of each factor, of distinct videos as far as there are."""
    chosen: list[Pair] = []
    for factor in sorted({pair.factor for pair in pairs}):
        own = [pair for pair in pairs if pair.factor == factor]
        first = {pair.a.video: pair for pair in reversed(own)}
        distinct = [pair for pair in own if first[pair.a.video] is pair]
        chosen += (distinct + [pair for pair in own if pair not in distinct])[:rows]
    return chosen


def clip_pictures(prepared: Run, pairs: Sequence[Pair]) -> dict[Any, np.ndarray]:
    """The pictures of every clip of the pairs, uint8 [N, H, W, 3]: its frames, or frames and flow.

    Raises DataError for a frame that cannot be read.
    """
    from datasets.batches import BadVideo, iter_batches
    from datasets.display import displayable, pictures

    clips = {clip for pair in pairs for clip in (pair.a, pair.b)}
    geometry = displayable(prepared.geometry)
    shown = {}
    wanted = [clip for clip in prepared.rows if clip in clips]
    for batch in iter_batches([in_batches(wanted, 1)], prepared.data.reader(geometry)):
        if isinstance(batch, BadVideo):
            raise DataError(f"video {batch.video}: a frame cannot be read: {batch.reason}")
        shown[batch.clips[0]] = pictures([x[0] for x in batch.inputs], geometry)
    return shown


def plot_sheet(path: Path, pairs: Sequence[Pair], shown: dict[Any, np.ndarray]) -> None:
    """Write the PNG: a block for each pair, clip a above clip b, at most eight pictures each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 2.25 * len(pairs)), dpi=110, layout="constrained")
    blocks = figure.subfigures(len(pairs), 1, squeeze=False)
    for block, pair in zip(blocks[:, 0], pairs, strict=True):
        _plot_pair(block, pair, shown)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _plot_pair(block: SubFigure, pair: Pair, shown: dict[Any, np.ndarray]) -> None:
    name = FACTORS[pair.factor]
    block.suptitle(
        title(pair, len(shown[pair.a])), x=0.01, ha="left", fontsize=9, color=COLOURS[name]
    )
    for panel, clip in zip(block.subplots(2, 1), (pair.a, pair.b), strict=True):
        strip = shown[clip]
        strip = strip[np.linspace(0, len(strip) - 1, min(MAX_FRAMES, len(strip))).astype(int)]
        height, width = strip.shape[1:3]
        gap = np.full((height, max(3, width // 32), 3), 255, np.uint8)
        panel.imshow(np.concatenate([part for frame in strip for part in (frame, gap)], axis=1))
        other = f"{clip.video}\n" if clip.video != pair.a.video else ""
        panel.set_ylabel(
            f"{other}style {clip.style}\n{clip.order}",
            rotation=0,
            ha="right",
            va="center",
            fontsize=8,
        )
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)


def title(pair: Pair, frames: int) -> str:
    """What a pair shares, of which video, and how many of its frames are shown if not all."""
    name = FACTORS[pair.factor]
    number = f", {MAX_FRAMES} of {frames} frames" if frames > MAX_FRAMES else ""
    return f"{name} pair: {SHARES[name]} ({pair.a.video}{number})"


if __name__ == "__main__":
    sys.exit(run_script(main))
