"""Chunks: a fixed partition of a plan's clips into batches, of which some may be done."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from datasets.batches import BadVideo, FrameError, Shown, iter_batches
from datasets.chunks import in_chunks, to_do
from datasets.video_plan import Clip


def clips_of(*sizes: int) -> list[Clip]:
    """Clips of sources with so many clips each: a clip in order, and shuffled ones."""
    return [Clip(f"v{i:03d}", "1", 0, shuffle) for i, n in enumerate(sizes) for shuffle in range(n)]


def sizes(chunks) -> list[list[int]]:
    return [[len(batch) for batch in chunk] for chunk in chunks]


@pytest.mark.parametrize(
    ("sources", "batch_size", "expected"),
    [
        pytest.param([2] * 20, 8, [[8, 8], [8, 8], [8]], id="as many as fit"),
        pytest.param([3] * 6, 8, [[8, 7], [3]], id="whole sources"),
        pytest.param([15, 1, 1], 4, [[4, 4, 4, 4], [1]], id="to the last clip"),
        pytest.param([1, 40, 1], 16, [[1], [16, 16, 8], [1]], id="a large source"),
        pytest.param([2] * 20, 30, [[30], [10]], id="a large batch"),
        pytest.param([2] * 3, 1, [[1] * 6], id="one by one"),
        pytest.param([], 8, [], id="none"),
    ],
)
def test_sizes(sources, batch_size, expected):
    clips = clips_of(*sources)
    chunks = in_chunks(clips, batch_size)
    assert sizes(chunks) == expected
    assert [clip for chunk in chunks for batch in chunk for clip in batch] == clips


def test_random_sources_stay_whole_in_chunks_of_few_clips():
    rng = np.random.default_rng(0)
    for batch_size in (1, 5, 16, 30):
        clips = clips_of(*rng.integers(1, 40, 50))
        chunks = [
            [clip for batch in chunk for clip in batch] for chunk in in_chunks(clips, batch_size)
        ]
        assert [clip for chunk in chunks for clip in chunk] == clips
        sources = [{clip.source for clip in chunk} for chunk in chunks]
        assert sum(map(len, sources)) == 50
        most = max(16, batch_size)
        assert all(
            len(chunk) <= most or len(own) == 1 for chunk, own in zip(chunks, sources, strict=True)
        )
        # None could take the next one's first source.
        for chunk, following in itertools.pairwise(chunks):
            first = sum(clip.source == following[0].source for clip in following)
            assert len(chunk) + first > most


def test_batches_to_do_are_as_they_were():
    clips = clips_of(*[2] * 10)
    chunks = in_chunks(clips, 4)
    done = {*clips[:6], *clips[8:16], clips[18]}
    assert to_do(chunks, done.__contains__) == [[clips[4:8]], [clips[16:20]]]
    assert to_do(chunks, lambda clip: False) == chunks
    assert to_do(chunks, lambda clip: True) == []


class Reader:
    """Reads nothing; clips of some videos cannot be read."""

    def __init__(self, *bad: str):
        self.bad = bad

    def read(self, clips, raw):
        if clips[0].video in self.bad:
            raise FrameError("broken")
        return len(clips)

    def inputs(self, reading, clips):
        import torch

        first = torch.tensor([0])
        return ([Shown(torch.tensor([1.0]), 0, first, (1,))] for _ in clips)


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_video_makes_its_batches_smaller_and_no_others(workers):
    clips = clips_of(2, 3, 2, 2)  # in batches of 3: 0 0 1, 1 1 2, 2 3 3
    found = list(iter_batches(in_chunks(clips, 3), Reader("v001"), num_workers=workers))
    assert [item.video for item in found if isinstance(item, BadVideo)] == ["v001"]
    batches = [item.clips for item in found if not isinstance(item, BadVideo)]
    assert batches == [clips[:2], clips[5:6], clips[6:9]]


def test_batch_of_bad_videos_alone_is_none():
    found = list(iter_batches(in_chunks(clips_of(2, 2), 2), Reader("v000", "v001")))
    assert [item.video for item in found] == ["v000", "v001"]


@pytest.mark.parametrize(("workers", "ahead"), [(0, 0), (2, 4)])
def test_chunks_are_asked_for_when_one_can_be_read(workers, ahead):
    """So that other processes can take those that this one has not begun."""
    asked = []

    def chunks():
        for chunk in in_chunks(clips_of(*[16] * 12), 16):
            asked.append(chunk)
            yield chunk

    batches = iter_batches(chunks(), Reader(), num_workers=workers)
    for number in range(1, 12):
        next(batches)
        assert number <= len(asked) <= number + ahead
    batches.close()


def test_readers_are_no_more_than_there_is_to_read(monkeypatch):
    from datasets import readers

    started, start = [], readers._started
    monkeypatch.setattr(readers, "_started", lambda read: started.append(1) or start(read))
    assert list(iter_batches([], Reader(), num_workers=3)) == []
    assert not started
    assert len(list(iter_batches(in_chunks(clips_of(1, 1), 1), Reader(), num_workers=3))) == 2
    assert len(started) == 2
