"""What the first process gives the others to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# What is told under these names: the digest of a run; `Work`; a journal's path, or None.
PREPARED, WORK, FINISHED = "prepared", "work", "finished"
# There is nothing to compute.
NOTHING: dict[str, Any] = {}


@dataclass(frozen=True)
class Work:
    """The clips of a run that are to be computed.

    folder: of the run.
    done: which rows of its feature store are computed, bool [rows].
    way: the record of the way to compute the others.
    """

    folder: Path
    done: np.ndarray
    way: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        bits = np.packbits(self.done).tobytes().hex()
        folder = str(self.folder.absolute())
        return {"folder": folder, "rows": len(self.done), "done": bits, "way": self.way}

    @classmethod
    def of(cls, told: dict[str, Any]) -> Work:
        """The same from JSON types."""
        bits = np.frombuffer(bytes.fromhex(told["done"]), dtype=np.uint8)
        done = np.unpackbits(bits, count=told["rows"]).astype(bool)
        return cls(Path(told["folder"]), done, told["way"])


def digests(identity: Mapping[str, Any]) -> dict[str, str]:
    """What all processes must agree in: for each thing that features depend on, a short digest."""
    texts = {key: json.dumps(value, sort_keys=True) for key, value in identity.items()}
    return {key: hashlib.sha256(text.encode()).hexdigest()[:16] for key, text in texts.items()}
