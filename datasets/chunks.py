"""Clips in chunks and batches: which clips go through a network together, whoever computes them.

The features of a clip may depend, by rounding, on how many clips are in its batch. So batches are
the same whatever is done already, and whichever process computes a chunk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

# Batches of clips, in order.
Chunk = Sequence[Sequence[Any]]
# Clips of a chunk, unless a batch has more: few enough to be shared out evenly.
_CLIPS = 16


def in_batches(clips: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Clips in batches of `size`, the last of which may be smaller.

    >>> in_batches("abcde", 2)
    ['ab', 'cd', 'e']
    """
    return [clips[i : i + size] for i in range(0, len(clips), size)]


def sources_of(clips: Sequence[Any]) -> Iterator[list[Any]]:
    """The clips of each source, which must be next to each other."""
    return (list(own) for _, own in itertools.groupby(clips, key=lambda clip: clip.source))


def in_chunks(clips: Sequence[Any], batch_size: int) -> list[Chunk]:
    """Clips in chunks of whole sources, each of them in batches of `batch_size`.

    A chunk has 16 clips at most, or as many as a larger batch; one source with more is a chunk.
    """
    most = max(_CLIPS, batch_size)
    chunks: list[list[Any]] = [[]]
    for own in sources_of(clips):
        if chunks[-1] and len(chunks[-1]) + len(own) > most:
            chunks.append([])
        chunks[-1] += own
    return [in_batches(chunk, batch_size) for chunk in chunks if chunk]


def to_do(chunks: Sequence[Chunk], is_done: Callable[[Any], bool]) -> list[Chunk]:
    """The chunks with those batches, as they are, in which a clip is not done."""
    left = ([batch for batch in chunk if not all(map(is_done, batch))] for chunk in chunks)
    return [chunk for chunk in left if chunk]
