"""What the plotting scripts share: the files of their figure, intervals of means, notes."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.files import check_output, write_text
from common.options import script_parser
from estimation.intervals import Mean
from results.panels import Grid, Series
from results.plotting import save_figure
from results.tikz import tikz
from utils import UserError

SUFFIXES = (".png", ".pdf")
# Of files that are read in a folder.
_READ = (".txt", ".npz", ".pkl")


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
        cls,
        base: Path,
        tex: Path | None = None,
        options: tuple[str, str] = ("save", "tex"),
        inputs: Iterable[Path] = (),
    ) -> FigureFiles:
        """Those of a figure, `base` and `tex` given by `options`.

        Raises UserError if one cannot be written, or is among the files that are read, `inputs`.
        """
        if tex and tex.suffix in SUFFIXES:
            raise UserError(f"--tex {tex} is a picture's name: expected one like stages.tex")
        paths = {base.with_name(base.name + suffix): options[0] for suffix in SUFFIXES}
        paths |= {tex: options[1]} if tex else {}
        read = list(inputs)
        replaced = {path: check_output(path, option, read) for path, option in paths.items()}
        return cls(base, tex, replaced)

    @classmethod
    def of(cls, args: argparse.Namespace, inputs: Iterable[Path]) -> FigureFiles:
        """Those of the options --save and --tex.

        inputs: files that are read, and folders of such files.

        Raises UserError if one cannot be written, or is read.
        """
        save = args.save.with_suffix("") if args.save.suffix in SUFFIXES else args.save
        return cls.at(save, args.tex, inputs=itertools.chain.from_iterable(map(_read, inputs)))

    def save(self, grid: Grid) -> None:
        """Write the files and print their names."""
        save_figure(self.base, grid)
        if self.tex:
            write_text(self.tex, tikz(grid, self.base.name.replace("_", "-")))
        for path, replaced in self.replaced.items():
            print(f"saved: {path}{replaced}")


def _read(path: Path) -> list[Path]:
    """A path, and what is read of it if it is a folder."""
    return [path, *(file for file in path.glob("*") if file.suffix in _READ)]


def mean_series(label: str, means: Sequence[Mean]) -> Series:
    """Means with their t intervals, which a single value does not have."""
    lo, hi = [m.mean - m.t for m in means], [m.mean + m.t for m in means]
    has_intervals = any(m.n > 1 for m in means)
    return Series(label, [m.mean for m in means], *((lo, hi) if has_intervals else ()))


def print_notes(notes: Iterable[str]) -> None:
    """Say on stderr what was collapsed or not read."""
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
