"""What one forward of a network costs: multiply-adds, and parameters.

The convention is fvcore's (github.com/facebookresearch/fvcore): one multiply-add is one FLOP, in
convolutions, linear layers and matrix products; a batch norm takes 2 per element (5 in training),
other norms 5, adaptive average pools 1 per element of their input, bilinear upsampling 4 per
element of its output. Biases and the operators in `_FREE` take none. Added to fvcore's: attention
(both products; its softmax is free), products that broadcast, einsum, and a few relatives of
operators that it knows. An operator that is in no table is listed in `Cost.uncounted`, never
silently ignored.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from utils import UserError

# FLOPs of an operator, as fvcore wants it, from lists of its inputs and outputs (torch._C.Value).
Handler = Callable[[list[Any], list[Any]], int]

# fmt: off
# Arithmetic that takes no FLOPs by convention; without the trailing underscore of in-place forms.
_FREE = frozenset((
    "abs", "add", "amax", "amin", "argmax", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "clamp_max", "clamp_min", "cumsum", "div", "elu", "exp", "gelu", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "lerp", "linalg_vector_norm", "log", "log_softmax", "max_pool1d",
    "max_pool2d", "max_pool3d", "maximum", "mean", "min", "minimum", "mish", "mul", "neg", "norm",
    "pow", "reciprocal", "rsqrt", "rsub", "selu", "sigmoid", "silu", "softmax", "softplus",
    "sqrt", "square", "sub", "sum", "tanh", "var",
))
# Operators that only move, copy or compare data, in addition to those that fvcore ignores itself.
_MOVES = (
    "alias", "clone", "dropout", "expand_as", "feature_dropout", "fill", "flip", "index_select",
    "le", "lt", "masked_fill", "movedim", "ne", "ones_like", "pad", "pixel_shuffle", "repeat",
    "repeat_interleave", "reshape_as", "squeeze", "swapaxes", "tensor_split", "tile", "transpose",
    "unflatten", "unfold", "view_as", "where", "zero",
)
# fmt: on
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Part:
    """Cost of a network or of one of its modules.

    flops: multiply-adds, and what else is counted.
    flops_folded: the same without batch norms, which inference can fold into the convolutions
        before them.
    params: number of parameters.
    params_without_norm: of those outside of normalisation layers.
    """

    flops: int
    flops_folded: int
    params: int
    params_without_norm: int


@dataclass(frozen=True)
class Cost(Part):
    """Cost of one forward.

    by_operator: FLOPs by operator.
    by_module: cost by module, of the first level that has more than one, and under "" of what is in
        none of them; these add up to the whole.
    free: number of occurrences of each operator that is arithmetic but takes none by convention.
    uncounted: number of occurrences of each unknown operator. If there is one, the FLOPs are too
        low.
    """

    by_operator: Mapping[str, int]
    by_module: Mapping[str, Part]
    free: Mapping[str, int]
    uncounted: Mapping[str, int]


def cost(module: nn.Module, inputs: Sequence[Tensor]) -> Cost:
    """The cost of `module(*inputs)`, in the mode (training or evaluation) that the module is in.

    The forward runs once, on the device of the inputs, and is traced; what its result does not
    depend on is not counted. The module is left as it was. FLOPs are those of the whole batch in
    `inputs`. Raises UserError if the result holds no tensor.
    """
    with _untouched(module), _plain_result(module):
        analysis = _analysis(module, tuple(inputs))
        operators = analysis.by_module_and_operator()
    free, uncounted = Counter[str](), Counter[str]()
    for name, count in analysis.unsupported_ops().items():
        short = name.removeprefix("aten::").rstrip("_")
        (free if short in _FREE else uncounted)[short] += count
    whole = _part(operators[""], list(module.parameters()), _norm_parameters(module))
    return Cost(
        **vars(whole),
        by_operator={name: int(flops) for name, flops in operators[""].items()},
        by_module=_by_module(module, whole, operators),
        free=dict(free),
        uncounted=dict(uncounted),
    )


@contextlib.contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """Gradients are off in the block; afterwards parameters and buffers are as before."""
    # The tracer refuses parameters that need gradients where state-dict hooks rename them.
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    buffers = [(buffer, buffer.clone()) for buffer in module.buffers()]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
        for buffer, before in buffers:
            buffer.copy_(before)


@contextlib.contextmanager
def _plain_result(module: nn.Module) -> Iterator[None]:
    """In the block, the forward returns a tuple of tensors: all that the tracer understands."""

    def replace(module: nn.Module, inputs: Any, result: Any) -> tuple[Tensor, ...]:
        tensors = tuple(_tensors(result))
        if not tensors:
            raise UserError(
                f"the network returns {type(result).__name__} without any tensor: expected a "
                "tensor, or several in a tuple, list or dict"
            )
        return tensors

    hook = module.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def _tensors(result: Any) -> Iterator[Tensor]:
    """The tensors in a result of any common form."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        yield from _tensors(list(result.values()))
    elif isinstance(result, tuple | list):
        for element in result:
            yield from _tensors(element)


def _analysis(module: nn.Module, inputs: tuple[Tensor, ...]):
    """fvcore's analysis of the traced forward, with our handlers, warnings silenced."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at import, fvcore compiles losses in a deprecated way
        from fvcore.nn import FlopCountAnalysis
        from fvcore.nn.jit_handles import elementwise_flop_counter

    handlers: dict[str, Handler | None] = {
        "aten::scaled_dot_product_attention": _attention,
        "aten::matmul": _product,
        "aten::mv": _product,
        "aten::dot": _product,
        "aten::baddbmm": lambda inputs, outputs: _product(inputs[1:], outputs),
        "aten::einsum": _einsum,
        "aten::_convolution_mode": _same_convolution,
        "aten::adaptive_avg_pool1d": elementwise_flop_counter(1, 0),
        "aten::adaptive_avg_pool3d": elementwise_flop_counter(1, 0),
        **{f"aten::{name}{end}": None for name in _MOVES for end in ("", "_")},
    }
    analysis = FlopCountAnalysis(module, inputs).set_op_handle(**handlers)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    analysis.tracer_warnings("none").total()
    return analysis


def _shape(value: Any) -> list[int]:
    return value.type().sizes()


def _product(inputs: list[Any], outputs: list[Any]) -> int:
    """Matrix or vector product: the extent that is summed, for every element of the result."""
    return math.prod(_shape(outputs[0])) * _shape(inputs[0])[-1]


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    """Products of query [..., L, E] and key [..., S, E], and of weights and value [..., S, V].

    A causal mask saves nothing: products of that form would compute what it hides.
    """
    query, value = _shape(inputs[0]), _shape(inputs[2])
    return math.prod(query[:-1]) * value[-2] * (query[-1] + value[-1])


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    """For two operands, a multiply-add per combination of indices; otherwise as fvcore counts."""
    from fvcore.nn.jit_handles import einsum_flop_jit

    terms = inputs[0].toIValue().replace(" ", "").split("->")[0].split(",")
    if len(terms) != 2 or "." in "".join(terms):
        return int(einsum_flop_jit(inputs, outputs))
    shapes = [_shape(operand) for operand in inputs[1].node().inputs()]
    extents: dict[str, int] = {}
    for index, size in zip("".join(terms), [*shapes[0], *shapes[1]], strict=True):
        extents[index] = max(size, extents.get(index, 1))  # an extent of 1 is broadcast
    return math.prod(extents.values())


def _same_convolution(inputs: list[Any], outputs: list[Any]) -> int:
    """Convolution with padding="same": every weight, for every position of the result."""
    result = _shape(outputs[0])
    return result[0] * math.prod(_shape(inputs[1])) * math.prod(result[2:])


def _norm_parameters(module: nn.Module) -> set[Tensor]:
    """The parameters of the normalisation layers in `module`."""
    norms = (part for part in module.modules() if isinstance(part, _NORMS))
    return {parameter for norm in norms for parameter in norm.parameters()}


def _part(flops: Mapping[str, int], parameters: Sequence[Tensor], of_norms: set[Tensor]) -> Part:
    """The cost of what did `flops` by operator and owns `parameters`."""
    total = int(sum(flops.values()))
    return Part(
        flops=total,
        flops_folded=total - int(flops.get("batch_norm", 0)),
        params=sum(p.numel() for p in parameters),
        params_without_norm=sum(p.numel() for p in parameters if p not in of_norms),
    )


def _by_module(
    module: nn.Module, whole: Part, operators: Mapping[str, Mapping[str, int]]
) -> dict[str, Part]:
    """The cost of every module of the first level that has more than one, and of the rest.

    Parameters that modules share belong to the first of them.
    """
    of_norms, taken = _norm_parameters(module), set[Tensor]()
    parts = {}
    for name in _first_level(module):
        own = [p for p in module.get_submodule(name).parameters() if p not in taken]
        taken.update(own)
        parts[name] = _part(operators[name], own, of_norms)
    rest = {
        field: total - sum(getattr(part, field) for part in parts.values())
        for field, total in vars(whole).items()
    }
    return {**parts, "": Part(**rest)} if any(rest.values()) else parts


def _first_level(module: nn.Module) -> list[str]:
    """The names of the children, below wrappers that have only one child."""
    names = [name for name, _ in module.named_children()]
    while len(names) == 1:
        below = module.get_submodule(names[0]).named_children()
        inner = [f"{names[0]}.{name}" for name, _ in below]
        if not inner:
            break
        names = inner
    return names
