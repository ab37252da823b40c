"""Every known network by name, and finding one. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from common.tasks import RECOGNITION, SEGMENTATION
from datasets.geometry import ClipOptions
from models.network import Network
from models.tables import fusionseg, matnet, resnet, rtnet, transformers, x3d
from utils import UserError, suggestion

TABLES = (resnet, x3d, transformers, fusionseg, matnet, rtnet)
AS_TRAINED = ClipOptions()
# Networks of the study that can no longer be run.
GONE = {
    "sam": "it needs PyTorch 0.4 and programs outside this repository that no longer exist "
    "(Detectron weights and a Caffe build of FlowNet2 for Segment Any Moving)"
}


def networks() -> dict[str, Network]:
    """Every network of the study by name. Raises ValueError if two have the same."""
    return by_name(network for table in TABLES for network in table.NETWORKS)


def by_name(entries: Iterable[Network]) -> dict[str, Network]:
    """The networks by name. Raises ValueError if two have the same.

    >>> from models.tables.x3d import NETWORKS
    >>> list(by_name(NETWORKS))
    ['x3d_xs', 'x3d_s', 'x3d_m', 'x3d_l']
    """
    found: dict[str, Network] = {}
    for network in entries:
        if network.name in found:
            raise ValueError(f"two networks are called {network.name!r}: rename one of them")
        found[network.name] = network
    return found


def task_of(name: str) -> str:
    """What the network called `name` was trained for; a user's own: action recognition.

    Raises UserError with the known names for an unknown one.
    """
    if ":" in name:
        return RECOGNITION
    return SEGMENTATION if name in GONE else _entry(name).task


def _entry(name: str) -> Network:
    known = networks()
    if name not in known:
        raise UserError(
            f"`model` {name!r} is not known.{suggestion(name, known)} Available: "
            f"{', '.join(known)}; torchvision:NAME, hf:FOLDER or FILE.py:FUNCTION for others"
        )
    return known[name]


def find(
    name: str,
    dataset: str | None = None,
    *,
    num_classes: int | None = None,
    seed: int = 0,
    clips: ClipOptions = AS_TRAINED,
    unit_dim: int | None = None,
) -> Network:
    """The network called `name`, in the form trained for `dataset` if there is one, for the
    requested clips and axis of units.

    Names like torchvision:..., hf:... and my_net.py:build are those of a user's own networks (see
    `models.own.resolve`), whose random weights follow `seed`.

    Raises UserError with the known names for an unknown one, and for clips that it cannot take.
    """
    if ":" in name:
        from models.own.resolve import resolve

        return resolve(name, num_classes, seed, clips, unit_dim)
    if name in GONE:
        raise UserError(f"`model` {name!r} cannot be run: {GONE[name]}")
    network = _entry(_entry(name).by_dataset.get(dataset or "", name))
    return network.adapted(clips, unit_dim)
