"""What the plotting scripts share: where their figure goes, as PNG and PDF, and as LaTeX."""

from __future__ import annotations

import argparse
from pathlib import Path

from common.options import script_parser
from results.panels import Grid, draw_panels
from results.tikz import tikz
from utils import UserError, check_output, write_text

SUFFIXES = (".png", ".pdf")


def parser_of(description: str | None, name: str) -> argparse.ArgumentParser:
    """A parser with --save (default: NAME.png in the current folder) and --tex."""
    parser = script_parser(description)
    parser.add_argument(
        "--save",
        type=Path,
        default=Path(f"{name}.png"),
        help=f"figure to write, as .png and .pdf (default: {name}.png)",
    )
    parser.add_argument("--tex", type=Path, help="LaTeX file to write, with the same as pgfplots")
    return parser


def figure_files(args: argparse.Namespace) -> dict[Path, str]:
    """The files to write, each with " (replaced)" if it stands there already.

    Raises UserError, before anything is read, if one cannot be written.
    """
    paths = [_base(args.save).with_name(_base(args.save).name + suffix) for suffix in SUFFIXES]
    if args.tex and args.tex.suffix in SUFFIXES:
        raise UserError(f"--tex {args.tex} is the name of a picture: expected one like stages.tex")
    return {path: check_output(path) for path in [*paths, *([args.tex] if args.tex else [])]}


def _base(save: Path) -> Path:
    return save.with_suffix("") if save.suffix in SUFFIXES else save


def save_figure(args: argparse.Namespace, grid: Grid, files: dict[Path, str]) -> None:
    """Write the files and print their names."""
    draw_panels(_base(args.save), grid)
    if args.tex:
        write_text(args.tex, tikz(grid, _base(args.save).name.replace("_", "-")))
    for path, replaced in files.items():
        print(f"saved: {path}{replaced}")
