"""Journals: what is whole is kept, what is not is computed again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from measure.ranks.journal import Journal, journals, merge, rows_in
from results.store import FeatureStore
from tests.helpers import stored

STAGES = ("1", "a,b")


@pytest.fixture
def store(tmp_path) -> FeatureStore:
    rows = [{"clip": str(row)} for row in range(8)]
    return FeatureStore.create(tmp_path / "features", STAGES, rows, {})


def features(rows) -> dict[str, np.ndarray]:
    values = np.array(rows, dtype=np.float32)[:, None]
    return {"1": np.concatenate([values, -values], 1), "a,b": 3 * values + 1}


def written(store: FeatureStore, *batches: list[int], rank: int = 1) -> Path:
    journal = Journal(store.folder, rank, STAGES, store.done)
    for rows in batches:
        journal.write(rows, features(rows))
    journal.close()
    return journal.path


def test_features_land_in_their_rows(store):
    paths = [written(store, [4, 5], [1]), written(store, [0], rank=2)]
    assert journals(store.folder) == sorted(paths)
    assert len(rows_in(store.folder)) == 4
    merge(store, paths)
    assert store.done.tolist() == [row in (0, 1, 4, 5) for row in range(8)]
    for stage, values in features([0, 1, 4, 5]).items():
        assert (stored(store, stage)[[0, 1, 4, 5]] == values).all()
    assert journals(store.folder) == []


def test_what_the_store_has_stays(store):
    store.write([2, 3], {stage: x + 100 for stage, x in features([2, 3]).items()})
    merge(store, [written(store, [3, 4])])
    assert stored(store, "a,b")[[2, 3, 4], 0].tolist() == [107, 110, 13]


def test_no_file_without_features(store):
    path = written(store)
    assert not path.exists()
    merge(store, [path])
    assert not store.done.any()


def test_what_is_forgotten_is_gone(store):
    journal = Journal(store.folder, 1, STAGES, store.done)
    journal.write([1, 2], features([1, 2]))
    assert journal.done.tolist() == [row in (1, 2) for row in range(8)]
    journal.forget([1, 2])
    assert not journal.done.any()
    assert journals(store.folder) == []


def test_cut_off_anywhere_it_has_its_whole_records(store):
    path = written(store, [4, 5], [1], [6])
    content = path.read_bytes()
    ends = [0]
    for rows in ([4, 5], [1], [6]):
        ends.append(ends[-1] + len(written(store, rows).read_bytes()))
    assert ends[-1] == len(content)
    expected = {0: 0, 1: 2, 2: 3, 3: 4}
    for other in journals(store.folder):
        other.unlink()
    for length in range(0, len(content) + 1, 7):
        path.write_bytes(content[:length])
        assert len(rows_in(store.folder)) == expected[sum(length >= end for end in ends[1:])]


def test_damaged_bytes_are_no_features(store):
    path = written(store, [4, 5], [1], [6])
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 60):
        broken = bytearray(content)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        assert len(rows_in(store.folder)) in (
            0,
            1,
            2,
            3,
        )  # all but its record, or but those from it on
    merge(store, [path])
    for stage, values in features(range(8)).items():
        done = store.done
        assert (stored(store, stage)[done] == values[done]).all()


@pytest.mark.parametrize("rows", [[9], [-1]])
def test_rows_that_the_store_lacks_are_left_out(store, rows):
    merge(store, [written_of_another(store, rows)])
    assert not store.done.any()


def written_of_another(store: FeatureStore, rows: list[int]) -> Path:
    journal = Journal(store.folder, 1, STAGES, np.zeros(20, dtype=bool))
    journal.write(rows, features(rows))
    journal.close()
    return journal.path


def test_folder_that_is_seen_later(store, tmp_path, monkeypatch):
    """As on network file systems."""
    import time

    folder = tmp_path / "later"
    monkeypatch.setattr(time, "sleep", lambda seconds: folder.mkdir())
    journal = Journal(folder, 1, STAGES, store.done)
    journal.write([0], features([0]))
    journal.close()
    assert len(rows_in(folder)) == 1
