"""Loading checkpoints, as users have them, into networks. A checkpoint is untrusted input.

Files are found by `models.checkpoint_files` and read by `models.containers`. What is loaded must
have the names, the shapes and the kind of values of the network's own, and be finite.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from models.checkpoint_files import CheckpointError, checkpoint_files, checkpoint_sha256
from models.containers import read_state
from models.digest import digest
from models.network import BUILT, RANDOM, Network
from models.seeding import seeded

_WRAPPERS = re.compile(r"^(?:(?:module|model)\.)+")
# Floating-point values of these types are the same weights, but for rounding.
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


@dataclass(frozen=True)
class Loaded:
    """What was loaded.

    source: the file or folder, "random", or "as built".
    sha256: of the file, of the two files of a folder, or of the parameters as built; None for
        random weights.
    random_parameters: names of those that were left random.
    note: what else there is to say: the form of the network that the file holds if there are
        several, the files of a folder, parameters that the file lacks.
    """

    source: str
    sha256: str | None
    random_parameters: tuple[str, ...] = ()
    note: str = ""


def load(
    network: Network,
    checkpoint: str,
    *,
    num_classes: int | None = None,
    allow_other_head: bool = False,
    seed: int = 0,
) -> tuple[nn.Module, Loaded]:
    """The network in evaluation mode with the weights of `checkpoint`: a path, "random" (drawn from
    `seed`) or "as built" (those that a user's own network is built with).

    A classifier that is missing or has another number of classes is refused, unless
    `allow_other_head` is given: then it stays random, which no stage depends on. Parameters that
    the network never runs may be missing; they become zero, and the note says how many.

    Raises CheckpointError with the missing, unexpected and wrong-shaped parameters, and if a
    user's own network is built with other weights than before.
    """
    if checkpoint == RANDOM:
        with seeded(seed):
            return network.module(num_classes, network.untrained()), Loaded(RANDOM, None)
    if checkpoint == BUILT:
        return _as_built(network, seed)
    path = Path(checkpoint)
    files = checkpoint_files(path)
    state = _read_folder(files) if files[1:] else read_state(path)
    variant = network.variant(state)
    with seeded(seed):
        module = network.module(num_classes, variant.spec)
    absent = _never_run(network, module, state)
    left = load_state(module, {**variant.state, **absent}, path, network.head, allow_other_head)
    notes = [variant.note, *(file.name for file in files if files[1:])]
    unused = sum(not name.endswith("num_batches_tracked") for name in absent)
    notes += [f"without {unused} parameters that are never run"] if unused else []
    note = ", ".join(note for note in notes if note)
    return module, Loaded(str(path), checkpoint_sha256(path), left, note)


def _as_built(network: Network, seed: int) -> tuple[nn.Module, Loaded]:
    with seeded(seed):
        module = network.module()
    if digest(module) != network.weights.built:
        raise CheckpointError(
            f"{network.name} comes with other weights each time it is built: load trained ones, or "
            "draw random ones with Python's, NumPy's or PyTorch's generators, which are seeded"
        )
    return module, Loaded(BUILT, network.weights.built)


def _read_folder(files: Sequence[Path]) -> dict[str, Tensor]:
    """The states of encoder and decoder under the parameter names of the whole network."""
    return {
        f"{part}.{bare(name)}": value
        for part, file in zip(("encoder", "decoder"), files, strict=True)
        for name, value in read_state(file).items()
    }


def _never_run(
    network: Network, module: nn.Module, state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Zeros for the parameters that `state` lacks and that nothing depends on."""
    present = {bare(name) for name in state}
    unused = re.compile(network.unused)
    return {
        name: torch.zeros_like(value)
        for name, value in module.state_dict().items()
        if unused.match(name) and bare(name) not in present
    }


def load_state(
    module: nn.Module,
    state: Mapping[str, Tensor],
    path: Path,
    head: str | tuple[str, ...],
    allow_other_head: bool = False,
) -> tuple[str, ...]:
    """Load `state` strictly, but for `module.` and `model.` prefixes; returns names left random.

    Raises CheckpointError that lists whatever is missing, unexpected or wrong-shaped, or else what
    of it is no weight: of another kind of numbers, or not finite.
    """
    present = module.state_dict()
    own = {bare(name): name for name in present}
    shapes = {name: tuple(value.shape) for name, value in present.items()}
    found: dict[str, Tensor] = {}
    unexpected = []
    for name, value in state.items():
        known = own.get(bare(name))
        if known is None or known in found:
            unexpected.append(name)
        else:
            found[known] = _with_trailing_axes(value, len(shapes[known]))
    # Counters of batches: Caffe2 has none, and in evaluation nothing depends on them.
    missing = [n for n in shapes if n not in found and not n.endswith("num_batches_tracked")]
    shaped = [n for n, value in found.items() if tuple(value.shape) != shapes[n]]

    def in_head(name: str) -> bool:
        return name.startswith(head)

    left = tuple(n for n in (*missing, *shaped) if in_head(n)) if allow_other_head else ()
    missing = [n for n in missing if n not in left]
    wrong = [f"{n} {tuple(found[n].shape)}, expected {shapes[n]}" for n in shaped if n not in left]
    if missing or unexpected or wrong:
        raise CheckpointError(_misfit(path, missing, unexpected, wrong, shaped, in_head))
    kept = {n: v for n, v in found.items() if n not in left}
    unusable = [f"{n}: {why}" for n, v in kept.items() if (why := _unusable(v, present[n]))]
    if unusable:
        lines = [f"{path} fits this network, but these are no weights of it:"]
        lines += [*_listed("values", unusable), "Is it quantised, or of a training that diverged?"]
        raise CheckpointError("\n".join(lines))
    module.load_state_dict(kept, strict=False)
    return left


def bare(name: str) -> str:
    """The name of a parameter without the prefixes `module.` and `model.` of wrappers."""
    return _WRAPPERS.sub("", name)


def _with_trailing_axes(value: Tensor, ndim: int) -> Tensor:
    """The same values with axes of size 1 added: old files hold 1x1x1 kernels as matrices."""
    return value.reshape(tuple(value.shape) + (1,) * (ndim - value.ndim))


def _unusable(value: Tensor, own: Tensor) -> str:
    """Why a tensor of the right shape cannot be the values of `own`; nothing if it can."""
    kinds = (_FLOATS, _INTEGERS)
    if value.dtype != own.dtype and not any({value.dtype, own.dtype} <= {*k} for k in kinds):
        return f"{value.dtype}, expected {own.dtype}".replace("torch.", "")
    if own.dtype not in _FLOATS and not own.is_complex():
        return ""
    values = value.to(own.dtype)
    # A network may be built with infinite values of its own, as in masks.
    strange = int((~torch.isfinite(values) & (values != own)).sum())
    what = f"{strange} of {values.numel()} values are NaN or infinite, expected finite numbers"
    return what if strange else ""


def _misfit(path, missing, unexpected, wrong, shaped, in_head) -> str:
    lines = [f"{path} does not fit this network."]
    lines += _listed("missing", missing)
    lines += _listed("unexpected", unexpected)
    lines += _listed("wrong shape", wrong)
    if not unexpected and all(in_head(name) for name in (*missing, *shaped)):
        lines.append(
            "Only the classifier differs: give `num_classes` as in the file, or "
            "`allow_other_head` True to leave it random (no stage depends on it)."
        )
    else:
        lines.append(
            "Is this the checkpoint of another network, or of another form of this one? `model`, "
            "or the configuration in `cfg_file`, must be that which it was trained with."
        )
    return "\n".join(lines)


def _listed(title: str, names: Sequence[str]) -> list[str]:
    """The lines of a title and the first names."""
    more = [f"    ... and {len(names) - 8} more"] if len(names) > 8 else []
    return [f"  {title} ({len(names)}):", *(f"    {name[:200]}" for name in names[:8]), *more]
