"""The text files of the segmentation study: units per stage and factor, a file per seed.

    dim_outputs/vos_models/final/<model>/<model>_final_<seed>.txt

holds a line per stage, in the format of the study's code (main_vos.py):

    Stage: conv1,app_stream , Dimensions: [13, 24, 27] [20.3, 37.5, 42.2]

units and percent of the stage's units, dynamic, static and residual. Files that the study's code
wrote are read as well: it appended, so that a repeated run doubled every line.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.files import write_text
from utils import DataError

LAYERS = ("conv1", "layer1", "layer2", "layer3", "layer4", "layerf")
STREAMS = ("app_stream", "mot_stream", "sensor_fusion")
_LINE = re.compile(r"Stage: (\S+) , Dimensions: \[([^\[\]]*)\] \[([^\[\]]*)\]")
_EXAMPLE = "Stage: conv1,app_stream , Dimensions: [13, 24, 27] [20.3, 37.5, 42.2]"


@dataclass(frozen=True)
class StageDims:
    """Units per factor of a stage.

    stage: layer and stream, like "layer1,sensor_fusion".
    dims: number of units of each factor.
    percents: the same in percent of the stage's units, 0..100 with one decimal.
    """

    stage: str
    dims: tuple[int, ...]
    percents: tuple[float, ...]

    @property
    def layer(self) -> str:
        """One of `LAYERS`."""
        return self.stage.split(",")[0]

    @property
    def stream(self) -> str:
        """One of `STREAMS`."""
        return self.stage.split(",")[1]


@dataclass(frozen=True)
class FinalFile:
    """The file of one seed.

    path: of the file.
    stages: by name, in the order of the file.
    repeats: how many repeated lines it held.
    """

    path: Path
    stages: Mapping[str, StageDims]
    repeats: int = 0


@dataclass(frozen=True)
class FinalFolder:
    """The files of one network, a seed each, all with the same stages and factors.

    path: of the folder, or of its only file.
    files: in order of their names.
    notes: sentences about what was collapsed or not read, for the user.
    """

    path: Path
    files: tuple[FinalFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[StageDims, ...]:
        """The stages as the first file has them, stream by stream."""
        first = self.files[0].stages.values()
        return tuple(s for stream in STREAMS for s in first if s.stream == stream)

    @property
    def n_factors(self) -> int:
        """Number of factors, the same in every file."""
        return len(self.stages[0].percents)

    def percents(self, stage: str, factor: int) -> list[float]:
        """Percent of the units of a stage for a factor, one value per file."""
        return [file.stages[stage].percents[factor] for file in self.files]


def write_final(path: Path, stages: Iterable[StageDims]) -> None:
    """Write the file of one seed, completely or not at all; a file at `path` is replaced.

    Percents are rounded to one decimal.
    """
    lines = []
    for s in stages:
        # Plain Python numbers: NumPy 2 would print np.float64(20.3).
        dims, percents = [int(n) for n in s.dims], [round(float(p), 1) for p in s.percents]
        lines.append(f"Stage: {s.stage} , Dimensions: {dims} {percents}\n")
    write_text(path, "".join(lines))


def parse_line(line: str) -> StageDims:
    """The stage on a line. Raises ValueError with what is wrong with it."""
    match = _LINE.fullmatch(line.strip())
    if not match:
        raise ValueError(f"expected a line like {_EXAMPLE!r}")
    layer, _, stream = match[1].partition(",")
    if layer not in LAYERS or stream not in STREAMS:
        raise ValueError(
            f"stage {match[1]!r} is not known: expected one of {', '.join(LAYERS)}, a comma, and "
            f"one of {', '.join(STREAMS)}"
        )
    try:
        dims = tuple(int(cell) for cell in match[2].split(","))
        percents = tuple(float(cell) for cell in match[3].split(","))
    except ValueError as error:
        raise ValueError(f"{error}; expected a line like {_EXAMPLE!r}") from None
    if len(dims) != len(percents) or len(dims) < 2:
        raise ValueError(
            f"{len(dims)} numbers of units and {len(percents)} percentages, expected one of each "
            "per factor"
        )
    if min(dims) < 0 or not all(math.isfinite(p) and 0 <= p <= 100 for p in percents):
        raise ValueError("expected units of 0 or more and percentages from 0 to 100")
    return StageDims(match[1], dims, percents)


def read_final(path: Path) -> FinalFile:
    """The stages of one file. Identical repeats of a line are collapsed and counted.

    Raises DataError, with file and line, for a broken line, for lines of one stage that contradict
    each other, and for a file that is missing, empty or not text.
    """
    stages: dict[str, StageDims] = {}
    first: dict[str, int] = {}
    repeats = 0
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            found = parse_line(line)
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {line.strip()[:100]!r}: {error}") from None
        if found != stages.setdefault(found.stage, found):
            raise DataError(
                f"{path}, lines {first[found.stage]} and {number} contradict each other about "
                f"stage {found.stage}: two runs were appended to one file; keep the lines of one"
            )
        repeats += found.stage in first
        first.setdefault(found.stage, number)
    if not stages:
        raise DataError(f"{path} is empty: expected a line per stage, like {_EXAMPLE!r}")
    return FinalFile(path, stages, repeats)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a readable text file: {error}") from None


def read_finals(path: Path) -> FinalFolder:
    """The .txt files of a folder in order of their names, or one file; any number of seeds.

    Raises DataError for a folder without such files, and for files that do not agree in their
    stages or their number of factors: means over them would mix different things.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist: expected a folder like final/MODEL_NAME")
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    texts = [entry for entry in entries if entry.suffix == ".txt" or entry == path]
    if not texts:
        raise DataError(
            f"{path} holds no .txt file: expected MODEL_final_001.txt and so on; is it the folder "
            "of one network?"
        )
    files = tuple(read_final(entry) for entry in texts)
    for file in files:
        _require_same(files[0], file)
    others = [entry.name for entry in entries if entry not in texts]
    notes = [
        f"{file.path.name}: {file.repeats} repeated lines, identical, counted once"
        for file in files
        if file.repeats
    ]
    if others:
        notes.append(f"not read, {len(others)} without the suffix .txt: {', '.join(others[:6])}")
    return FinalFolder(path, files, tuple(notes))


def _require_same(first: FinalFile, file: FinalFile) -> None:
    """Raise DataError for other stages, or another number of factors, than in the first file."""
    missing = [stage for stage in first.stages if stage not in file.stages]
    more = [stage for stage in file.stages if stage not in first.stages]
    if missing or more:
        raise DataError(
            f"{file.path} and {first.path.name} have different stages (missing: "
            f"{' '.join(missing) or 'none'}; more: {' '.join(more) or 'none'}): was a run "
            "interrupted, or do the files belong to two networks? Repeat it, or move one away"
        )
    n_factors = len(next(iter(first.stages.values())).percents)
    for stage in file.stages.values():
        if len(stage.percents) != n_factors:
            raise DataError(
                f"{file.path}: stage {stage.stage} has {len(stage.percents)} factors, the "
                f"first stage of {first.path.name} {n_factors}: move one of them away"
            )
