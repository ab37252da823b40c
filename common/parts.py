"""What a run is made of, as messages name it: the keys of its record, in words."""

from __future__ import annotations

from collections.abc import Iterable

# Each in a sentence like "... holds a run with ...".
_OTHER = {
    "network": "another network",
    "form": "another form of the network",
    "source": "other code of the network",
    "weights": "other weights",
    "random": "other random weights",
    "stages": "other stages",
    "path": "another pathway",
    "clip": "other clips (size, frames, mean and std)",
    "unit_dim": "another `unit_dim`",
    "plan": "other pairs (plan)",
    "pairing": "another pairing",
    "videos": "other videos of the same names, or the same ones under another `run_name`",
    "dataset": "another data set or other styles",
    "factors": "other factors",
    "thresholds": "other thresholds (give them with `resume`)",
}


def in_words(keys: Iterable[str]) -> str:
    """What differs between two runs.

    >>> in_words(["weights", "random"])
    'other weights, other random weights'
    """
    return ", ".join(_OTHER.get(key, f"another {key}") for key in keys)
