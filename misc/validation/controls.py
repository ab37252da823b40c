"""Controls: what is found where the answer is known before, on synthetic and on real clips.

A network that averages single frames has no dynamic part, whatever the clips. Clips whose frames
are frozen have no motion, whatever the network. And untrained networks have learned nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from datasets.geometry import ClipOptions
from misc.validation import averaging
from misc.validation.answers import Answer, Row, Settings, parts_panel, picked, stage_rows
from misc.validation.clips import Change, Footage, as_it_is, frozen, stored, synthetic
from misc.validation.trained import VIDEOS_SEED, loaded, measured
from models.catalogue import find
from models.network import BUILT, RANDOM, Network
from results.panels import Panel, in_rows
from utils import progress

VIDEOS = 32
STYLES = ("1", "2", "3", "4")
CLIPS: dict[str, Change] = {"moving": as_it_is, "frozen": frozen}
# Large networks see small frames, so that a control takes seconds.
SMALL = 112
AVERAGING = "averaging frames"
LIMITS = (-0.2, 1.2)  # of figures


def controls() -> Iterator[tuple[str, Network, str]]:
    """Networks: their name in tables, record and checkpoint."""
    yield AVERAGING, find(f"{averaging.__file__}:build"), BUILT
    for name in ("demo_motion", "demo_appearance"):
        network = find(name)
        yield name, network, network.checkpoint(None)
    yield "demo untrained", find("demo_motion"), RANDOM
    yield "i3d untrained", find("i3d").with_clip(ClipOptions(crop=(SMALL, SMALL))), RANDOM


def footages(settings: Settings, videos: int = VIDEOS) -> list[Footage]:
    """Synthetic videos, and real ones where they are given."""
    found = [synthetic(VIDEOS_SEED, videos)]
    if settings.stylized:
        found.append(stored(settings.stylized, STYLES))
    return found


def answer(settings: Settings) -> Answer:
    """Measure the last stage of every control on moving and on frozen clips."""
    wanted = [
        (footage, control, clips)
        for footage in footages(settings)
        for control in controls()
        for clips in CLIPS
        if footage.name == "real" or not control[0].startswith("i3d")
    ]
    rows: list[Row] = []
    variances: list[Row] = []
    for footage, (name, network, checkpoint), clips in progress(wanted, "controls", "control"):
        ready = loaded(network, checkpoint, settings.seed)
        stage, estimate = list(measured(ready, network, footage, CLIPS[clips]).items())[-1]
        keys = {"videos": footage.name, "network": name, "clips": clips, "stage": stage}
        rows += stage_rows(keys, estimate)
        variances.append({**keys, "total_variance": float(f"{estimate.total_variance:.4g}")})
    tables = {"controls": rows, "controls_variance": variances}
    panels = list(_panels(rows))
    return Answer(tables, in_rows(panels, 2), list(_lines(rows)), panels[-2:])


def _panels(rows: Sequence[Row]) -> Iterator[Panel]:
    for videos in dict.fromkeys(row["videos"] for row in rows):
        for clips in CLIPS:
            own = [row for row in rows if row["videos"] == videos and row["clips"] == clips]
            names = dict.fromkeys(row["network"] for row in own)
            groups = [(name, [row for row in own if row["network"] == name]) for name in names]
            yield parts_panel(f"{videos} videos, {clips}", groups, limits=LIMITS)


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    for row in picked(rows, "dynamic_only"):
        if row["network"] == AVERAGING or row["clips"] == "frozen":
            keys = {name: row[name] for name in ("videos", "network", "clips")}
            published = picked(rows, "published_dynamic", **keys)[0]["value"]
            yield (
                f"{row['network']} on {row['videos']} videos, {row['clips']}: dynamic only "
                f"{row['value']:.3f}, published dynamic score {published:.3f}"
            )
