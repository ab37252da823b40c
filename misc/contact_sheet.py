"""A picture of pairs: what a static and a dynamic pair look like on the data at hand.

    python misc/contact_sheet.py --resume dim_outputs/RUN --save pairs.png
    python misc/contact_sheet.py --dataset plain --stylized_data_dir DIR --save pairs.png

The frames are those that the network sees, cropped and in its order; takes main.py's options.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _path

import numpy as np

from common.factors import FACTORS
from common.options import script_parser
from config import add_options, from_given, integer
from datasets.plan import Clip, Pair
from measure.prepare import Measurement, prepare
from results.panels import COLOURS
from utils import DataError, atomic_path, check_output, run

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

MAX_FRAMES = 8


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, choose pairs, draw."""
    parser = script_parser(__doc__)
    add_options(parser)
    parser.add_argument("--rows", type=integer(1), default=3, help="pairs per factor (default: 3)")
    parser.add_argument("--save", type=Path, default=Path("pairs.png"), help="PNG to write")
    options = vars(parser.parse_args(argv))
    rows, save = options.pop("rows"), options.pop("save")
    if "resume" not in options:
        options.setdefault("checkpoint", "random")  # no network is run
    replaced = check_output(save)
    plan = prepare(from_given(options))
    pairs = choose_pairs(plan.pairs, rows)
    draw_sheet(save, pairs, clip_frames(plan, pairs))
    print(f"{len(pairs)} pairs: {save}{replaced}")


def choose_pairs(pairs: Sequence[Pair], rows: int) -> list[Pair]:
    """The first `rows` pairs of each factor, of distinct videos as far as there are."""
    chosen: list[Pair] = []
    for factor in sorted({pair.factor for pair in pairs}):
        own = [pair for pair in pairs if pair.factor == factor]
        first = {pair.a.video: pair for pair in reversed(own)}
        distinct = [pair for pair in own if first[pair.a.video] is pair]
        chosen += (distinct + [pair for pair in own if pair not in distinct])[:rows]
    return chosen


def clip_frames(plan: Measurement, pairs: Sequence[Pair]) -> dict[Clip, np.ndarray]:
    """The frames of every clip, of its last input, as uint8 [T, H, W, 3]."""
    from datasets.clips import BadVideo

    clips = {clip for pair in pairs for clip in (pair.a, pair.b)}
    mean, std = (np.array(values, np.float32) for values in (plan.geometry.mean, plan.geometry.std))
    shown = {}
    for batch in plan.batches([clip for clip in plan.rows if clip in clips]):
        if isinstance(batch, BadVideo):
            raise DataError(f"video {batch.video}: a frame cannot be read: {batch.reason}")
        for clip, x in zip(batch.clips, batch.inputs[-1], strict=True):
            frames = x.permute(1, 2, 3, 0).numpy() * std + mean  # [T, H, W, 3], 0..1
            shown[clip] = (255 * frames.clip(0, 1)).round().astype(np.uint8)
    return shown


def draw_sheet(path: Path, pairs: Sequence[Pair], frames: dict[Clip, np.ndarray]) -> None:
    """Write the PNG: a block per pair, clip a above clip b, at most eight frames each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 2.25 * len(pairs)), dpi=110, layout="constrained")
    blocks = figure.subfigures(len(pairs), 1, squeeze=False)
    for block, pair in zip(blocks[:, 0], pairs, strict=True):
        _draw_pair(block, pair, frames)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_pair(block: SubFigure, pair: Pair, frames: dict[Clip, np.ndarray]) -> None:
    name = FACTORS[pair.factor]
    shares = {"dynamic": "same motion, other appearance", "static": "same appearance, other motion"}
    title = f"{name} pair" + (f": {shares[name]}" if name in shares else "")
    block.suptitle(f"{title} ({pair.a.video})", x=0.01, ha="left", fontsize=9, color=COLOURS[name])
    for panel, clip in zip(block.subplots(2, 1), (pair.a, pair.b), strict=True):
        strip = frames[clip]
        strip = strip[np.linspace(0, len(strip) - 1, min(MAX_FRAMES, len(strip))).astype(int)]
        gap = np.full((strip.shape[1], 3, 3), 255, np.uint8)
        panel.imshow(np.concatenate([part for frame in strip for part in (frame, gap)], axis=1))
        order = "shuffled" if clip.shuffle else "in order"
        other = f"{clip.video}\n" if clip.video != pair.a.video else ""
        panel.set_ylabel(
            f"{other}style {clip.style}\n{order}", rotation=0, ha="right", va="center", fontsize=8
        )
        panel.set_xticks([])
        panel.set_yticks([])
        panel.spines[:].set_visible(False)


if __name__ == "__main__":
    sys.exit(run(main))
