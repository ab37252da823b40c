"""Which stages follow one another: lines in figures join these, and no others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_NUMBERED = re.compile(r"([^#]*?)(\d+)")


def by_stream(stages: Sequence[str]) -> list[list[str]]:
    """Stages stream by stream ("layer3,app_stream").

    >>> by_stream(["conv1,app", "conv1,mot", "layer1,app"])
    [['conv1,app', 'layer1,app'], ['conv1,mot']]
    """
    streams: dict[str, list[str]] = {}
    for stage in stages:
        streams.setdefault(stage.partition(",")[2], []).append(stage)
    return list(streams.values())


def chains(stages: Sequence[str], known: Sequence[str]) -> list[list[str]]:
    """The measured stages, in chains of neighbours among the known stages of their stream.

    stages: measured, in order.
    known: all stages of a network that runs those of a stream one after the other.

    >>> chains(["1", "2", "5"], ["1", "2", "3", "4", "5"])
    [['1', '2'], ['5']]
    """
    neighbours = {pair for own in by_stream(known) for pair in pairwise(own)}
    return _joined(stages, neighbours)


def numbered_chains(stages: Sequence[str]) -> list[list[str]]:
    """The measured stages of a network whose order of modules is not known: only those that a
    number tells apart, like blocks.0 and blocks.1, follow one another.

    >>> numbered_chains(["slow", "fast", "blocks.0", "blocks.1", "blocks.3"])
    [['slow'], ['fast'], ['blocks.0', 'blocks.1'], ['blocks.3']]
    """
    return _joined(stages, {pair for pair in pairwise(stages) if _next(*pair)})


def _next(first: str, second: str) -> bool:
    """Whether two names differ in a number at their end, which is one more in the second.

    Elements of one module's output ("encoder#0", "encoder#1") stand beside one another.
    """
    a, b = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(second)
    return a is not None and b is not None and (a[1], int(a[2]) + 1) == (b[1], int(b[2]))


def _joined(stages: Sequence[str], neighbours: set[tuple[str, str]]) -> list[list[str]]:
    found: list[list[str]] = []
    for own in by_stream(stages):
        for k, stage in enumerate(own):
            if k and (own[k - 1], stage) in neighbours:
                found[-1].append(stage)
            else:
                found.append([stage])
    return found
