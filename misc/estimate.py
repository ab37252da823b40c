"""Static and dynamic scores of paired features: pairs.npz in, result.json out.

    python misc/estimate.py --features pairs.npz --save result.json --joint_encoding_thresh 0.3,0.5

pairs.npz holds `a` and `b` [N, C], the features of the two members of N pairs, and `factor` [N]:
0 dynamic, 1 static, ... No network and no GPU is involved.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _path

import numpy as np

from common.files import check_output, write_json
from common.npz import open_npz
from common.options import script_parser
from common.process import run_script
from config import Config, add_options, check_factors
from estimation.estimator import (
    Estimate,
    estimate,
    joint_encoding,
    require_finite,
)
from estimation.moments import PairMoments
from utils import DataError


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, estimate, save."""
    parser = script_parser(__doc__)
    parser.add_argument("--features", type=Path, required=True, help=".npz file of pairs")
    parser.add_argument("--save", type=Path, required=True, help=".json file to write")
    add_options(parser, ("n_factors", "residual_index", "joint_encoding_thresh"))
    options = vars(parser.parse_args(argv))
    features, save = options.pop("features"), options.pop("save")
    config = Config(**options)
    check_factors(config)
    replaced = check_output(save, inputs=[features])

    a, b, factor = read_pairs(features)
    moments = {int(f): PairMoments.of(a[factor == f], b[factor == f]) for f in np.unique(factor)}
    result = estimate(moments, n_factors=config.n_factors, residual_index=config.residual_index)
    write_json(save, as_json(result, config.joint_encoding_thresh))
    for k, name in enumerate(result.factors):
        print(
            f"{name}: score {result.scores[k]:.4f}, {result.dims[k]} of {result.n_units} units "
            f"({result.dims_percent[k]} %), {result.n_pairs[k]} pairs"
        )
    print(f"saved: {save}{replaced}")


def read_pairs(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members a, b [N, C] and factor ids [N]. Raises DataError where they do not fit."""
    arrays = open_npz(path)
    missing = {"a", "b", "factor"} - set(arrays)
    if missing:
        raise DataError(f"{path} has no {', '.join(sorted(missing))}; found {', '.join(arrays)}")
    a, b, factor = arrays["a"], arrays["b"], arrays["factor"]
    if a.ndim != 2 or a.shape != b.shape or factor.shape != a.shape[:1] or not a.size:
        raise DataError(
            f"{path}: a {list(a.shape)}, b {list(b.shape)}, factor {list(factor.shape)}; "
            "expected [N, C], [N, C] and [N]"
        )
    if factor.dtype.kind not in "iu" or a.dtype.kind not in "fiu" or b.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: a is {a.dtype}, b {b.dtype}, factor {factor.dtype}; expected numbers and "
            "integer factor ids"
        )
    pairs = [f"pair {i}" for i in range(len(a))]
    for name in ("a", "b"):
        require_finite(arrays[name], f"{name!r} of {path.name}", pairs)
    return a, b, factor


def as_json(result: Estimate, thresholds: Sequence[float]) -> dict[str, Any]:
    """The result in JSON types, lists in factor order; undefined unit scores are null."""
    return {
        "factors": list(result.factors),
        "n_pairs": list(result.n_pairs),
        "scores": result.scores.tolist(),
        "shares": result.shares.tolist(),
        "dims": list(result.dims),
        "dims_percent": list(result.dims_percent),
        "total_variance": result.total_variance,
        "unit_scores": [
            [None if np.isnan(value) else value for value in row.tolist()]
            for row in result.unit_scores
        ],
        "joint_encoding": {
            str(threshold): {
                name: units.tolist()
                for name, units in joint_encoding(result.unit_scores, threshold).items()
            }
            for threshold in thresholds
        },
    }


if __name__ == "__main__":
    sys.exit(run_script(main))
