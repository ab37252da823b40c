"""Measure two small networks side by side: one was trained on motion, one on appearance.

python misc/demo.py        (or: make demo)
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import _path

import main as main_script
from common.options import script_parser
from common.process import run_script
from config import Config
from datasets.synthetic import make
from estimation.inference import PARTS
from misc import contact_sheet
from results.blocks import Results, find
from results.figures import plot_parts
from results.statistics import LAYER
from results.tables import with_interval
from utils import format_table

INTRODUCTION = """\
A video shows static information (what one frame holds: texture, colour, shape) and dynamic
information (what only the order of frames holds: motion). How much of each does a network encode?

Here are two networks of the same architecture. One learned to name the motion of a shape, the
other to name the style it is painted in. Both now see pairs of clips that share one thing only:

  dynamic pair   one motion in two styles: a network that encodes motion reacts alike to both
  static pair    one style, the second clip with its frames shuffled: a network that encodes
                 appearance reacts alike to both

How alike, over all units of a stage, is the score: about 1 for the same reaction, 0 for an
unrelated one, below 0 for opposite ones. With pairs of clips that share neither, the variance of
the units falls into four parts: static only, dynamic only, both, neither.
"""
EXPECTED = {"demo_motion": "motion", "demo_appearance": "appearance"}
# None of these videos was seen in training, which used other seeds.
VIDEOS_SEED, N_VIDEOS, N_EXAMPLES = 2022, 64, 512


def main(argv: Sequence[str] | None = None) -> None:
    """Make the videos, measure both networks, compare them."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "--save_dir",
        type=Path,
        default=Path("demo_outputs"),
        help="of videos and results (default: %(default)s)",
    )
    save_dir = parser.parse_args(argv).save_dir
    print(INTRODUCTION, flush=True)
    videos = save_dir / "videos"
    make(videos, N_VIDEOS, seed=VIDEOS_SEED)
    folder = save_dir / datetime.now().strftime("%Y%m%d-%H%M%S")
    measured = [measure(name, videos, folder) for name in EXPECTED]
    sheet = folder / "pairs.png"
    contact_sheet.main(["--resume", str(measured[0].folder), "--save", str(sheet), "--rows", "2"])
    all_results = [outcome.results for outcome in measured]
    (figure,) = plot_parts(folder, all_results, "demo")
    print("\n" + compare(all_results))
    print(f"\nthe pairs that the networks saw: {sheet}\nall stages of both networks:     {figure}")


def measure(model: str, videos: Path, folder: Path) -> main_script.Outcome:
    """One network, every stage."""
    config = Config(
        model=model,
        stg="all",
        dataset="synthetic",
        stylized_data_dir=videos,
        save_dir=folder,
        run_name=model,
        n_examples=N_EXAMPLES,
        batch_size=32,
    )
    return main_script.measure(config)


def compare(all_results: Sequence[Results]) -> str:
    """The last stage of the networks as a table, and what it says."""
    rows, verdicts = [], []
    for results in all_results:
        last = list(results.by_stage(LAYER).values())[-1]
        scores, parts = find(last, "score"), find(last, "part")
        dynamic, static = scores.part("dynamic"), scores.part("static")
        shown = [with_interval(*ends) for ends in zip(parts.value, parts.lo, parts.hi, strict=True)]
        task = EXPECTED[results.model]
        rows.append([results.model, task, f"{dynamic:.3f}", f"{static:.3f}", *shown[:3]])
        more, less = ("dynamic", "static") if dynamic > static else ("static", "dynamic")
        verdicts.append(
            f"The network trained on {task} encodes more {more} than {less} information."
        )
    head = ["network", "trained on", "dynamic score", "static score"]
    head += [name.replace("_", " ") for name in PARTS[:3]]
    title = f"The last stage of each ({all_results[0].how_certain})"
    return "\n".join([f"{title}:", format_table(head, rows), "", *verdicts])


if __name__ == "__main__":
    sys.exit(run_script(main))
