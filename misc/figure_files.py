"""What the plotting scripts share: the files of their figure, intervals of means, notes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.options import script_parser
from estimation.intervals import Mean
from results.panels import Grid, Series
from results.plotting import save_figure
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


@dataclass(frozen=True)
class FigureFiles:
    """The files of a figure.

    base: path of the pictures without their suffix.
    tex: path of the LaTeX file, if there is one.
    replaced: " (replaced)" for every file that is there already, else "".
    """

    base: Path
    tex: Path | None
    replaced: Mapping[Path, str]

    @classmethod
    def at(
        cls, base: Path, tex: Path | None = None, options: tuple[str, str] = ("save", "tex")
    ) -> FigureFiles:
        """Those of a figure, `base` and `tex` given by `options`.

        Raises UserError if one cannot be written.
        """
        if tex and tex.suffix in SUFFIXES:
            raise UserError(f"--tex {tex} is a picture's name: expected one like stages.tex")
        paths = {base.with_name(base.name + suffix): options[0] for suffix in SUFFIXES}
        paths |= {tex: options[1]} if tex else {}
        return cls(base, tex, {path: check_output(path, option) for path, option in paths.items()})

    @classmethod
    def of(cls, args: argparse.Namespace) -> FigureFiles:
        """Those of the options --save and --tex. Raises UserError if one cannot be written."""
        save = args.save.with_suffix("") if args.save.suffix in SUFFIXES else args.save
        return cls.at(save, args.tex)

    def save(self, grid: Grid) -> None:
        """Write the files and print their names."""
        save_figure(self.base, grid)
        if self.tex:
            write_text(self.tex, tikz(grid, self.base.name.replace("_", "-")))
        for path, replaced in self.replaced.items():
            print(f"saved: {path}{replaced}")


def mean_series(label: str, means: Sequence[Mean]) -> Series:
    """Means with their t intervals, which a single value does not have."""
    lo, hi = [m.mean - m.t for m in means], [m.mean + m.t for m in means]
    has_intervals = any(m.n > 1 for m in means)
    return Series(label, [m.mean for m in means], *((lo, hi) if has_intervals else ()))


def print_notes(notes: Iterable[str]) -> None:
    """Say on stderr what was collapsed or not read."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
