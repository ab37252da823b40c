"""Results in the files of the study, read back."""

from dataclasses import replace

import numpy as np
import pytest

from common.tasks import RECOGNITION, SEGMENTATION
from results.final_files import read_final
from results.joint_files import read_joint, seed_of
from results.study import Exported, write
from tests.helpers_estimation import make_results

STAGES = {"conv1,app_stream": 8, "layer4,sensor_fusion": 30}


def exported(tmp_path, task=SEGMENTATION, joint=False):
    """A run of seed 7 of network "m"."""
    (tmp_path / "run").mkdir()
    record = {"network": "m", "stages": list(STAGES)}
    return Exported(task, tmp_path, tmp_path / "run", 7, joint, record)


def test_dim_est_has_two_rows_of_the_last_stage(tmp_path):
    results = make_results(STAGES, model="my_net.py:build")
    last = replace(
        results.estimates["layer4,sensor_fusion"],
        dims=(10, 7, 13),
        dims_percent=(33.3, 23.3, 43.3),
    )
    estimates = {**results.estimates, "layer4,sensor_fusion": last}
    assert write(exported(tmp_path, RECOGNITION), replace(results, estimates=estimates)) == []
    path = tmp_path / "run" / "my_net.py_build_dim_est.csv"
    assert path.read_bytes() == b"10,7,13\r\n33.3,23.3,43.3\r\n"


@pytest.mark.parametrize(("n_factors", "residual_index"), [(3, 2), (4, -1)])
def test_a_final_file_has_a_line_per_stage(n_factors, residual_index, tmp_path):
    results = make_results(STAGES, n_factors=n_factors, residual_index=residual_index)
    path = tmp_path / "final" / "m" / "m_final_007.txt"
    assert write(exported(tmp_path), results) == [path]
    stages = read_final(path).stages
    assert list(stages) == list(STAGES)
    for name, estimate in results.estimates.items():
        assert stages[name].dims == estimate.dims
        assert stages[name].percents == estimate.dims_percent
    first = results.estimates["conv1,app_stream"]
    dims, percents = list(first.dims), list(first.dims_percent)
    line = f"Stage: conv1,app_stream , Dimensions: {dims} {percents}"
    assert path.read_text().splitlines()[0] == line


def test_joint_files_hold_scores_classes_threshold_and_seed(tmp_path):
    results = make_results(STAGES, dead=(2,), thresholds=(0.3, 0.5))
    folder = tmp_path / "joint_encoding" / "m"
    assert write(exported(tmp_path, joint=True), results)[1:] == [folder]
    files = read_joint(folder).files
    assert [file.path for file in files] == [folder / f"{stage}.npz" for stage in STAGES]
    for file in files:
        scores = results.estimates[file.stage].unit_scores
        np.testing.assert_array_equal(file.unit_scores, scores)
        assert file.units["dead"].tolist() == [2]
        above = (scores[:2] > 0.3).all(0)
        assert file.units["joint"].tolist() == np.flatnonzero(above).tolist()
        assert seed_of(file.path) == 7
