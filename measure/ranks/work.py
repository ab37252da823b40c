"""What the first process gives the others to do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from config import Config, as_json

# What is told under these names: `Asked`; `Work`; the path of a journal.
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


@dataclass(frozen=True)
class Asked:
    """A run that all processes are to work on.

    options: of the run, in JSON types.
    digests: of each thing that its features depend on, which must be the same everywhere.
    """

    options: dict[str, Any]
    digests: dict[str, str]

    @classmethod
    def of(cls, config: Config, agreed: Mapping[str, Any]) -> Asked:
        """The run with these options, and with what all processes must agree in."""
        texts = {key: json.dumps(value, sort_keys=True) for key, value in agreed.items()}
        digests = {k: hashlib.sha256(text.encode()).hexdigest()[:16] for k, text in texts.items()}
        return cls(as_json(config), digests)

    def as_json(self) -> dict[str, Any]:
        """The same in JSON types."""
        return asdict(self)

    def differing(self, agreed: Mapping[str, Any]) -> list[str]:
        """In what another process does not agree."""
        found = Asked.of(Config(), agreed).digests
        return [key for key, value in self.digests.items() if found.get(key) != value]
