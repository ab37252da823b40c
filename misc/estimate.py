"""Static and dynamic scores of paired features: pairs.npz in, result.json out.

    python misc/estimate.py --features pairs.npz --save result.json --joint_encoding_thresh 0.3,0.5

pairs.npz holds `a` and `b` [N, C], the features of the two members of N pairs, and `factor` [N]:
0 dynamic, 1 static, 2 different, ... With `video`, `style_a` and `style_b` [N] (texts or integers)
as well, the result has intervals, adjusted scores and parts of the variance. Features are read in
chunks, so that the file may be larger than memory. No network and no GPU is involved.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _path

import numpy as np

from common.factors import FACTORS
from common.files import check_output, write_json
from common.options import script_parser
from common.process import run_script
from config import Config, add_options, check_factors
from estimation.estimator import Estimate, joint_encoding
from estimation.inference import PARTS, TESTED, Inference
from estimation.intervals import Interval
from estimation.stage import Rules, estimate_stage
from results.blocks import few_videos
from results.pair_files import open_pairs
from results.tables import with_interval

_OPTIONS = ("n_factors", "residual_index", "joint_encoding_thresh", "confidence")


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, estimate, save."""
    parser = script_parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help=".npz file of pairs")
    parser.add_argument("--save", type=Path, required=True, help=".json file to write")
    add_options(parser, _OPTIONS)
    options = vars(parser.parse_args(argv))
    features, save = options.pop("features"), options.pop("save")
    config = Config(**options)
    check_factors(config)
    replaced = check_output(save, inputs=[features])
    with open_pairs(features) as pairs:
        rules = Rules(config.n_factors, config.residual_index, config.confidence)
        result = estimate_stage(pairs.read, pairs.design, rules)
    write_json(save, as_json(result, config.joint_encoding_thresh))
    print("\n".join(summary(result)))
    print(f"saved: {save}{replaced}")


def summary(result: Estimate) -> list[str]:
    """Lines for the screen: a factor each, and what is to be known of the intervals."""
    found = result.inference
    lines = [
        f"{name}: score {_score(result, k)}, {result.dims[k]} of {result.n_units} units "
        f"({result.dims_percent[k]} %), {result.n_pairs[k]} pairs"
        for k, name in enumerate(result.factors)
    ]
    if found:
        lines += [f"videos: {found.n_videos}", *few_videos(found.n_videos)]
    return lines


def _score(result: Estimate, factor: int) -> str:
    """The score of a factor, with its interval where it has one; that of the residual has none."""
    found, value = result.inference, result.scores[factor]
    if not found or result.factors[factor] == "residual" or np.isnan(found.scores.lo[factor]):
        return f"{value:.4f}"
    return with_interval(value, found.scores.lo[factor], found.scores.hi[factor])


def as_json(result: Estimate, thresholds: Sequence[float]) -> dict[str, Any]:
    """The result in JSON types, lists in factor order; null where undefined."""
    return {
        "factors": list(result.factors),
        "n_pairs": list(result.n_pairs),
        "scores": result.scores.tolist(),
        "shares": result.shares.tolist(),
        "dims": list(result.dims),
        "dims_percent": list(result.dims_percent),
        "total_variance": result.total_variance,
        "unit_scores": _plain(result.unit_scores),
        "joint_encoding": {
            str(threshold): {
                name: units.tolist()
                for name, units in joint_encoding(result.unit_scores, threshold).items()
            }
            for threshold in thresholds
        },
        **(_beside(result.inference) if result.inference else {}),
    }


@dataclass(frozen=True)
class _Tree:
    """Numbers with intervals, as they stand in the file.

    names: of the entries along the first axis; none for a list in factor order.
    numbers: theirs, [entries, ...].
    """

    names: tuple[str, ...]
    numbers: Interval

    def of(self, array: np.ndarray) -> Any:
        """An array of the shape of the numbers (and more axes behind) in JSON types."""
        values = _plain(array)
        return dict(zip(self.names, values, strict=True)) if self.names else values


def _beside(found: Inference) -> dict[str, Any]:
    """What stands beside the published numbers, in JSON types."""
    own = {
        "chance": _Tree(found.factors, found.chance),
        "adjusted": _Tree(found.factors, found.adjusted),
        "adjusted_units": _Tree(found.factors, found.adjusted_units),
        "decomposition": _Tree(PARTS, found.parts),
        "decomposition_units": _Tree(PARTS, found.part_units),
    }
    published = {
        name: _Tree((), getattr(found, name)) for name in ("scores", "shares", "unit_scores")
    }
    every = {**own, **published}
    return {
        "n_videos": found.n_videos,
        "confidence": found.confidence,
        **{name: tree.of(tree.numbers.value) for name, tree in own.items()},
        "intervals": {name: tree.of(_ends(tree.numbers)) for name, tree in every.items()},
        "corrected": {name: tree.of(tree.numbers.corrected) for name, tree in every.items()},
        "style_range": {
            "adjusted": own["adjusted"].of(found.adjusted_range),
            "decomposition": own["decomposition"].of(found.parts_range),
        },
        "p_value_units": _tested(found.p_units),
        "q_value_units": _tested(found.q_units),
        "q_value_by_units": _tested(found.q_by_units),
    }


def _ends(numbers: Interval) -> np.ndarray:
    """Lower and upper ends of intervals, [..., 2]."""
    return np.stack([numbers.lo, numbers.hi], -1)


def _tested(values: np.ndarray) -> Mapping[str, Any]:
    return dict(zip((FACTORS[factor] for factor in TESTED), _plain(values), strict=True))


def _plain(array: np.ndarray) -> Any:
    """Nested lists of floats, null where they are not finite."""
    values = array.astype(object)
    values[~np.isfinite(array)] = None
    return values.tolist()


if __name__ == "__main__":
    sys.exit(run_script(main))
