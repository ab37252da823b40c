"""What else moves the answer: the same networks and videos, changed in one thing at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datasets.geometry import ClipGeometry, ClipOptions
from estimation.estimator import Estimate
from estimation.inference import PARTS
from estimation.stage import estimate_stage
from measure.features import LoadedNetwork
from misc.validation.answers import Answer, Row, Settings, picked, series_of, stage_rows
from misc.validation.clips import (
    Change,
    Footage,
    Order,
    as_it_is,
    backwards,
    cropped,
    features,
    flicker,
    jpeg,
    shuffled,
    stored,
    synthetic,
)
from misc.validation.controls import STYLES
from misc.validation.designs import every_pair
from misc.validation.trained import VIDEOS_SEED, geometry_of, loaded
from models.catalogue import find
from results.colours import LIKE
from results.panels import Panel, Series
from utils import progress

NETWORKS = ("demo_motion", "demo_appearance")
VIDEOS, MOST_STYLES, USUAL_STYLES = 32, 8, 4
MANY_STYLES = tuple(str(k + 1) for k in range(MOST_STYLES))


class Variation(NamedTuple):
    """What is changed.

    change: of frames.
    order: of the frames of the second clip of a static pair.
    styles: how many.
    frames: of a clip; None for the network's own number.
    """

    change: Change = as_it_is
    order: Order = shuffled
    styles: int = USUAL_STYLES
    frames: int | None = None


AS_IT_IS = Variation()
# By confound the levels in order; one of them is as it is.
CONFOUNDS: dict[str, dict[str, Variation]] = {
    "styles": {str(n): Variation(styles=n) for n in (MOST_STYLES, USUAL_STYLES, 3, 2)},
    "flicker": {"0": AS_IT_IS, **{f"{x:g}": Variation(flicker(x)) for x in (0.05, 0.1, 0.2)}},
    "order": {"shuffled": AS_IT_IS, "reversed": Variation(order=backwards)},
    "JPEG quality": {"none": AS_IT_IS, **{str(q): Variation(jpeg(q)) for q in (50, 20, 5)}},
    "crop": {"100 %": AS_IT_IS, **{f"{100 * x:g} %": Variation(cropped(x)) for x in (0.75, 0.5)}},
    "frames": {"16": Variation(frames=16), "8": AS_IT_IS, "4": Variation(frames=4)},
}


def varied(
    network: LoadedNetwork, geometry: ClipGeometry, footage: Footage, variation: Variation
) -> Estimate:
    """The estimate of the last stage."""
    if variation.frames:
        geometry = geometry.changed(ClipOptions(frames=variation.frames))
    footage = footage.of_styles(variation.styles)
    found = features(network, geometry, footage, variation.change, variation.order)
    x = list(found.values())[-1]
    return estimate_stage(x.__getitem__, every_pair(footage.videos, len(footage.styles)))


def footages(settings: Settings) -> list[Footage]:
    """Synthetic videos in many styles, and real ones where they are given."""
    found = [synthetic(VIDEOS_SEED, VIDEOS, MOST_STYLES)]
    if settings.stylized:
        found.append(stored(settings.stylized, STYLES))
    return found


def answer(settings: Settings) -> Answer:
    """Measure both networks on all variations of all videos."""
    wanted = [
        (footage, name, confound, level)
        for footage in footages(settings)
        for name in NETWORKS
        for confound, levels in CONFOUNDS.items()
        for level, variation in levels.items()
        if variation.styles <= len(footage.styles)
    ]
    ready = {name: loaded(find(name), find(name).checkpoint(None)) for name in NETWORKS}
    known: dict[tuple[str, str, Variation], Estimate] = {}
    rows: list[Row] = []
    for footage, name, confound, level in progress(wanted, "confounds", "variation"):
        variation = CONFOUNDS[confound][level]
        key = (footage.name, name, variation)
        if key not in known:
            known[key] = varied(ready[name], geometry_of(find(name)), footage, variation)
        keys = {"videos": footage.name, "network": name, "confound": confound, "level": level}
        rows += stage_rows(keys, known[key])
    moved = list(_moved(rows))
    tables = {"confounds": rows, "confounds_moved": moved}
    overview = [_moved_panel(moved, name) for name in NETWORKS]
    return Answer(tables, list(_grid(rows)), list(_lines(moved)), overview)


def usual_level(confound: str) -> str:
    """The level that is as it is."""
    return next(level for level, v in CONFOUNDS[confound].items() if v == AS_IT_IS)


def _moved(rows: Sequence[Row]) -> Iterator[Row]:
    """By how much each level moves each number from what it is, in the rows' order."""
    for row in rows:
        if row["level"] == usual_level(row["confound"]):
            continue
        keys = {name: row[name] for name in ("videos", "network", "confound")}
        usual = picked(rows, row["statistic"], **keys, level=usual_level(row["confound"]))[0]
        yield {
            **keys,
            "level": row["level"],
            "statistic": row["statistic"],
            "usual": usual["value"],
            "value": row["value"],
            "moved": round(row["value"] - usual["value"], 4),
        }


def _lines(moved: Sequence[Row]) -> Iterator[str]:
    for confound in CONFOUNDS:
        own = [r for r in moved if r["confound"] == confound and r["statistic"] in PARTS]
        most = max(own, key=lambda row: abs(row["moved"]))
        yield (
            f"{confound}: moves a part by {most['moved']:+.2f} at most ({most['statistic']} of "
            f"{most['network']} on {most['videos']} videos, {most['level']})"
        )


def _moved_panel(moved: Sequence[Row], network: str) -> Panel:
    """By how much the last level of every confound moves the parts, on the last videos."""
    videos = moved[-1]["videos"]
    at = {"videos": videos, "network": network}
    rows = [
        [picked(moved, part, confound=confound, **at)[-1] for confound in CONFOUNDS]
        for part in PARTS
    ]
    return Panel(
        title=f"{network}, {videos} videos",
        kind="bars",
        xlabel="",
        ylabel="change of a part",
        positions=range(len(CONFOUNDS)),
        series=[
            Series(part.replace("_", " "), [row["moved"] for row in own], like=LIKE[part])
            for part, own in zip(PARTS, rows, strict=True)
        ],
        ticks=[(k, f"{row['confound']} {row['level']}") for k, row in enumerate(rows[0])],
        limits=(-0.4, 0.4),
        references=[("y", 0.0)],
    )


def _grid(rows: Sequence[Row]) -> Iterator[list[Panel | None]]:
    """A row of panels per confound: a panel per network and kind of videos."""
    places = list(dict.fromkeys((row["videos"], row["network"]) for row in rows))
    for confound in CONFOUNDS:
        yield [_panel(rows, confound, *place) for place in places]


def _panel(rows: Sequence[Row], confound: str, videos: str, network: str) -> Panel:
    keys = {"videos": videos, "network": network, "confound": confound}
    series: list[Series] = [
        series_of(part, picked(rows, part, **keys), LIKE[part]) for part in PARTS
    ]
    levels = [row["level"] for row in picked(rows, PARTS[0], **keys)]
    return Panel(
        title=f"{network}\n{videos} videos",
        kind="lines",
        xlabel=confound,
        ylabel="part",
        positions=range(len(levels)),
        series=series,
        ticks=list(enumerate(levels)),
        limits=(-0.35, 1.4),
        references=[("y", 0.0), ("y", 1.0)],
    )
