"""The pair plan of action recognition: videos in two styles, or with their frames shuffled.

Every draw is a function of (seed, index) alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from common.factors import DIFFERENT, DYNAMIC, FACTORS, SAME, STATIC
from datasets.pair_plan import Pair, PlanRow, PlanRules, plan_rows, read_factor, read_integer
from datasets.videos import UNSTYLIZED, VideoSet
from utils import DataError, UserError

DEFAULT_EXAMPLES = 3000
# Added to seeds, so that draws for different purposes are independent.
_ORDER, _DRAW = 1, 2


@dataclass(frozen=True, order=True)
class Clip:
    """One network input: frames of a video in a style.

    video: name of the video.
    style: id of the style.
    start: position of the first frame.
    shuffle: 0 for the natural order of frames, else the seed of their permutation.
    """

    video: str
    style: str
    start: int
    shuffle: int = 0

    @property
    def source(self) -> tuple[str, str, int]:
        """What clips that show the same frames, in any order, have in common."""
        return self.video, self.style, self.start

    @property
    def order(self) -> str:
        """How its frames follow each other, in words."""
        return "shuffled" if self.shuffle else "in order"

    def __str__(self) -> str:
        order = f", shuffle {self.shuffle}" if self.shuffle else ""
        return f"{self.video} (style {self.style}, start {self.start}{order})"


def sample_pairs(videos: VideoSet, rules: PlanRules) -> list[Pair]:
    """The pairs of a plan, in order.

    anchored: every drawn video gives one pair of each factor; these share their first clip.
    sampled: every drawn video gives one pair of one random factor, as in the study.
    crossed: every drawn video gives every pair of styles (dynamic) and the shuffle of every style
    (static), from one window.
    exhaustive: the same of every video, once.

    For the parts of the variance (`PlanRules.for_parts`) a draw also gives different pairs: one if
    anchored, its clips those of the others but for a shuffle; else every style with the shuffle of
    every other one. They take no random numbers, and are not counted in `n_examples`.

    Raises UserError where the rules cannot be met.
    """
    _check_rules(videos, rules)
    return list(_SAMPLERS[rules.pairing](videos, rules))


def _check_rules(videos: VideoSet, rules: PlanRules) -> None:
    if len(videos.styles) < 2 and {DYNAMIC, DIFFERENT} & set(rules.factors):
        raise UserError(
            f"a dynamic pair needs two styles, `styles` {','.join(videos.styles)} gives "
            f"{len(videos.styles)}"
        )
    if rules.pairing == "exhaustive" and rules.n_examples is not None:
        raise UserError(
            "`pairing` exhaustive takes every pair: leave out `n_examples`, or use anchored"
        )
    if rules.pairing in ("crossed", "exhaustive"):
        _check_all_styles(rules)
    if rules.pairing == "crossed":
        _check_crossed(videos, rules)
    labels = {video.label for video in videos.videos.values()}
    if not rules.same_video and None in labels:
        raise UserError(
            f"`m_same` False needs action classes, which data set {videos.name!r} does not have"
        )
    if not rules.shuffle_static and len(videos.videos) < 2:
        raise UserError("`app_shuffle` False needs at least two videos")
    if not rules.shuffle_static and None not in labels and len(labels) < 2:
        raise UserError("`app_shuffle` False needs videos of at least two classes")


def _check_all_styles(rules: PlanRules) -> None:
    rules.require_two_factors()
    if not rules.same_video:
        raise UserError(
            f"`m_same` False: `pairing` {rules.pairing} shows one video in every style; give "
            "`m_same` True, or `pairing` anchored"
        )


def _check_crossed(videos: VideoSet, rules: PlanRules) -> None:
    if not rules.shuffle_static:
        raise UserError(
            "`app_shuffle` False: `pairing` crossed shows every style with its shuffle; give "
            "`app_shuffle` True, or `pairing` anchored"
        )
    if rules.unstylized_static:
        raise UserError(
            "`use_normal_app` True: `pairing` crossed has a static pair of every style; give "
            "`use_normal_app` False, or `pairing` anchored"
        )
    wanted, per_draw = rules.n_examples, _per_crossed_draw(videos)
    if wanted is not None and wanted % per_draw:
        below = wanted // per_draw * per_draw
        near = f"{below} or {below + per_draw}" if below else str(per_draw)
        raise UserError(
            f"`n_examples` {wanted}: `pairing` crossed gives {per_draw} dynamic and static pairs a "
            f"draw with {len(videos.styles)} styles, and draws stay whole; give {near}"
        )


def _per_crossed_draw(videos: VideoSet) -> int:
    """Number of dynamic and static pairs of a crossed draw."""
    return math.comb(len(videos.styles), 2) + len(videos.styles)


def _start(videos: VideoSet, name: str, window: int, rng: np.random.Generator) -> int:
    """Position of the first frame of a window; the window may reach past the video's end."""
    video = videos.videos[name]
    if videos.start == "first":
        return video.start
    if videos.start == "middle":
        return video.start + max(0, video.length - window) // 2
    shortest = min(window, video.length)
    if video.length <= window and videos.shortest_window:
        shortest = min(videos.shortest_window, video.length)
    return video.start + int(rng.integers(0, video.length - shortest, endpoint=True))


def _video(videos: VideoSet, rules: PlanRules, index: int) -> str:
    """The video of draw `index`, by a seeded order of all for every pass."""
    names = list(videos.videos)
    passes, position = divmod(index, len(names))
    order = np.random.default_rng([rules.seed, _ORDER, passes]).permutation(len(names))
    return names[order[position]]


def _drawn(videos: VideoSet, rules: PlanRules) -> Iterator[Pair]:
    """The pairs of draw after draw; the last one may be cut, and then has no different pair."""
    per_draw = len(rules.factors) if rules.pairing == "anchored" else 1
    one_pass = min(DEFAULT_EXAMPLES, per_draw * len(videos.videos))
    left = one_pass if rules.n_examples is None else rules.n_examples
    for index in range(math.ceil(left / per_draw)):
        drawn = list(itertools.islice(_draw(videos, rules, index), left))
        left -= len(drawn)
        yield from drawn
        if rules.for_parts and len(drawn) == per_draw:
            yield _different(drawn)


def _different(drawn: Sequence[Pair]) -> Pair:
    """The different pair of a draw: the other style, with the shuffle of the static pair."""
    second = {pair.factor: pair.b for pair in drawn}
    shuffle = second[STATIC].shuffle
    return Pair(DIFFERENT, drawn[0].a, replace(second[DYNAMIC], shuffle=shuffle))


def _draw(videos: VideoSet, rules: PlanRules, index: int) -> Iterator[Pair]:
    """The pairs of draw `index`: a video, then one pair per factor."""
    rng = np.random.default_rng([rules.seed, _DRAW, index])
    name = _video(videos, rules, index)
    style = str(rng.choice(videos.styles))
    anchor = Clip(name, style, _start(videos, name, rules.window, rng))
    factors = rules.factors
    if rules.pairing == "sampled":
        factors = (int(rng.choice(rules.factors)),)
    for factor in factors:
        yield _pair(videos, rules, factor, anchor, rng)


def _pair(videos: VideoSet, rules: PlanRules, factor: int, anchor: Clip, rng) -> Pair:
    if factor == DYNAMIC:
        return Pair(factor, anchor, _other_style(videos, rules, anchor, rng))
    if factor == STATIC:
        if rules.unstylized_static:
            anchor = Clip(anchor.video, UNSTYLIZED, anchor.start)
        if rules.shuffle_static:
            return Pair(factor, anchor, _shuffled(anchor, rng))
        other = _other_class(videos, anchor.video, rng)
        start = _start(videos, other, rules.window, rng)
        return Pair(factor, anchor, Clip(other, anchor.style, start))
    if factor == DIFFERENT:
        return Pair(factor, anchor, _shuffled(_other_style(videos, rules, anchor, rng), rng))
    return Pair(factor, anchor, anchor)


def _shuffled(clip: Clip, rng: np.random.Generator) -> Clip:
    return replace(clip, shuffle=_shuffle_seed(rng))


def _shuffle_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 2**31))


def _other_style(videos: VideoSet, rules: PlanRules, anchor: Clip, rng) -> Clip:
    style = str(rng.choice([style for style in videos.styles if style != anchor.style]))
    if rules.same_video:
        return Clip(anchor.video, style, anchor.start)
    label = videos.videos[anchor.video].label
    alike = [v.name for v in videos.videos.values() if v.label == label and v.name != anchor.video]
    if not alike:
        raise UserError(f"`m_same` False: {anchor.video} is the only video of class {label!r}")
    other = str(rng.choice(alike))
    return Clip(other, style, _start(videos, other, rules.window, rng))


def _other_class(videos: VideoSet, name: str, rng: np.random.Generator) -> str:
    """A video of another class (drawn first), or any other video where there are no classes."""
    label = videos.videos[name].label
    if label is None:
        return str(rng.choice([other for other in videos.videos if other != name]))
    labels = sorted({v.label for v in videos.videos.values() if v.label and v.label != label})
    chosen = str(rng.choice(labels))
    return str(rng.choice([v.name for v in videos.videos.values() if v.label == chosen]))


def _exhaustive(videos: VideoSet, rules: PlanRules) -> Iterator[Pair]:
    for index, name in enumerate(videos.videos):
        rng = np.random.default_rng([rules.seed, _DRAW, index])
        start = _start(videos, name, rules.window, rng)
        clips = [Clip(name, style, start) for style in videos.styles]
        static = [_pair(videos, rules, STATIC, clip, rng) for clip in clips]
        yield from _of_all_styles(clips, static, rules)


def _crossed(videos: VideoSet, rules: PlanRules) -> Iterator[Pair]:
    per_draw = _per_crossed_draw(videos)
    one_pass = min(max(DEFAULT_EXAMPLES // per_draw, 1), len(videos.videos))
    draws = one_pass if rules.n_examples is None else rules.n_examples // per_draw
    for index in range(draws):
        rng = np.random.default_rng([rules.seed, _DRAW, index])
        name = _video(videos, rules, index)
        start = _start(videos, name, rules.window, rng)
        clips = [Clip(name, style, start) for style in videos.styles]
        # A shuffle for every style: one for all would be a single draw of what shuffling does.
        static = [Pair(STATIC, clip, _shuffled(clip, rng)) for clip in clips]
        yield from _of_all_styles(clips, static, rules)


def _of_all_styles(
    clips: Sequence[Clip], static: Sequence[Pair], rules: PlanRules
) -> Iterator[Pair]:
    """Every pair of the clips, the static pairs, and every clip with the shuffle of each other."""
    yield from (Pair(DYNAMIC, a, b) for a, b in itertools.combinations(clips, 2))
    yield from static
    if rules.for_parts:
        yield from (Pair(DIFFERENT, a.a, b.b) for a, b in itertools.permutations(static, 2))


_SAMPLERS: dict[str, Callable[[VideoSet, PlanRules], Iterator[Pair]]] = {
    "anchored": _drawn,
    "sampled": _drawn,
    "crossed": _crossed,
    "exhaustive": _exhaustive,
}


_COLUMNS = ("video", "style", "start", "shuffle")


def plan_row(pair: Pair) -> PlanRow:
    """The row of a plan file that stands for a pair."""
    sides = {
        f"{key}_{side}": value
        for side, clip in (("a", pair.a), ("b", pair.b))
        for key, value in asdict(clip).items()
    }
    return PlanRow({"factor": FACTORS[pair.factor], **sides}, (pair,))


def read_plan(path: Path, videos: VideoSet) -> list[Pair]:
    """The pairs of a plan file, checked against the videos and styles at hand.

    Raises DataError with the line of the first row that cannot be used.
    """
    columns = {"factor", *(f"{column}_{side}" for column in _COLUMNS for side in "ab")}
    rows = plan_rows(path, columns)
    return [_read_pair(row, f"{path}, line {line}", videos) for line, row in rows]


def _read_pair(row: dict[str, str], where: str, videos: VideoSet) -> Pair:
    factor = read_factor(row, where)
    a, b = (_read_clip(row, side, where, videos) for side in "ab")
    if a == b and factor != SAME:
        raise DataError(
            f"{where}: the two clips of this pair are the same, {a}, but its factor is "
            f"{row['factor']!r}"
        )
    return Pair(factor, a, b)


def _read_clip(row: dict[str, str], side: str, where: str, videos: VideoSet) -> Clip:
    name, style = row[f"video_{side}"], row[f"style_{side}"]
    start = read_integer(row, f"start_{side}", where)
    shuffle = read_integer(row, f"shuffle_{side}", where) if row[f"shuffle_{side}"] else 0
    if name not in videos.videos:
        raise DataError(f"{where}: video {name!r} is not among the {len(videos.videos)} videos")
    if style == UNSTYLIZED and style not in videos.style_folders:
        raise DataError(f"{where}: unstylized clips need `use_normal_app` True")
    if style not in videos.style_folders:
        raise DataError(
            f"{where}: style {style!r} is not among {', '.join(videos.style_folders)} (`styles`)"
        )
    video = videos.videos[name]
    if not video.start <= start < video.end or shuffle < 0:
        raise DataError(
            f"{where}: start {start} of {name} is not in {video.start}..{video.end - 1}, or "
            f"shuffle {shuffle} is negative"
        )
    return Clip(name, style, start, shuffle)
