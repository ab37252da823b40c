"""What a run asks for (`DataRequest`), and what a data set answers (`DataSet`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from datasets.pair_plan import PairPlan, PlanRules

if TYPE_CHECKING:
    from datasets.batches import Reader


@dataclass(frozen=True)
class DataRequest:
    """The videos that a run asks for.

    stylized: folder of the stylized videos; None if it was not given.
    styles: ids of the styles.
    subset: annotated subset or image set; None for the usual one.
    unstylized: folder of the unstylized videos; None for the usual one.
    shows_unstylized: whether unstylized videos are shown.
    original: folder of flow, lists and masks of a segmentation data set; None if it was not given.
    start: where windows start: "first", "middle" or "random"; None for the usual place.
    shared_classes: whether videos that are alone in their class are left out.
    backward: whether backward flow is needed.
    made_in: folder of the synthetic videos where `stylized` was not given.
    thorough: whether files are known by their contents, and not by their times.
    """

    stylized: Path | None
    styles: tuple[str, ...]
    subset: str | None = None
    unstylized: Path | None = None
    shows_unstylized: bool = False
    original: Path | None = None
    start: str | None = None
    shared_classes: bool = False
    backward: bool = False
    made_in: Path = Path()
    thorough: bool = False


class Listed(Protocol):
    """The videos that a data set lists."""

    @property
    def name(self) -> str:
        """Name of the data set."""

    @property
    def videos(self) -> Mapping[str, Any]:
        """The videos by name."""

    @property
    def left_out(self) -> Mapping[str, int]:
        """Number of videos left out by rule, by reason."""

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong with videos that cannot be shown, by video."""


class DataSet(Protocol):
    """The videos of a data set, and all that a run needs to know of them."""

    @property
    def listed(self) -> Listed:
        """The videos, and those that cannot be shown."""

    def sample(self, rules: PlanRules) -> PairPlan:
        """A pair plan. Raises UserError where the rules cannot be met."""

    def read_plan(self, path: Path, rules: PlanRules) -> PairPlan:
        """The plan in a file. Raises DataError with the line of a row that cannot be used."""

    def check(self, plan: PairPlan) -> dict[str, str]:
        """What is wrong with the files of the plan's videos, by video."""

    def require_usable(self, plan: PairPlan, geometry: Any) -> None:
        """Raise UserError if all pairs of a factor show what is the same: shuffled clips in the
        order of the other clip, or two styles that are the same files. `check` comes before."""

    def store_rows(self, clip: Any, geometry: Any) -> Iterator[dict[str, Any]]:
        """The rows of a clip in the feature store's list: its fields, and `files`, what the files
        that it shows are known by, so that other files of the same names are noticed.

        Raises DataError for a frame that is no file.
        """

    def reader(self, geometry: Any) -> Reader:
        """What reads the clips."""

    def notes(self, plan: PairPlan, geometry: Any) -> list[str]:
        """What a user should know of the plan's clips, in sentences."""
