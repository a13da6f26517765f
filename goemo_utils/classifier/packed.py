"""Linear layers whose weights are packed once for oneDNN: the fast float32 and bfloat16 path on a
CPU.

``torch.nn.functional.linear`` in float32 goes to MKL on x86; the same product with a weight that
oneDNN has packed ahead of time is faster, by a fifth on a Zen 4 and over twice on a CPU where MKL
takes a slower path. The operators are private to torch (its compiler emits them), so the packed
model is used only after it has answered a real batch like the eager one, and otherwise the eager
model is kept and the reason recorded.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import nn

from goemo_utils.errors import first_line

# Largest difference of a probability that counts as the same model. float32: rounding is about
# 3e-7, an ignored padding mask 0.7. bfloat16 has 8 significant bits: one unit in the last place
# of a logit between 4 and 8 is 2^-5, the sigmoid's slope is at most 1/4, and two orders of
# summation may differ by a few such units; four of them make 2^-5.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2.0**-5}


# Up to so many rows a small weight is multiplied as it is, rows as they come: oneDNN's call costs
# 12 us where MKL's whole product takes 5 to 40. Its plain form is kept for that, 0.5 MB at most.
FEW, SMALL = 48, 1 << 17


# What oneDNN computes inside a product, by transformers' name of the activation: oneDNN's own name
# and form of it.
INSIDE = {
    "none": ("none", ""),
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
}


class PackingError(RuntimeError):
    """This model, dtype or build of torch cannot be packed; the message says why."""


class PackedLinear(nn.Module):
    """``nn.Linear`` for inference with its weight in oneDNN's own layout. It cannot be saved,
    copied or cast.

    Several layers are stacked: one product, their outputs side by side. ``activation``: one of
    INSIDE, inside the product.
    """

    def __init__(self, *linears: nn.Linear, activation: str = "none") -> None:
        super().__init__()
        self.in_features = linears[0].in_features
        self.out_features = sum(linear.out_features for linear in linears)
        self.activation = activation

        # A plain attribute: the packed weight is opaque and must not appear in state_dict or be
        # cast by .to().
        weight = stacked([linear.weight.detach() for linear in linears])
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        self.bias = stacked_bias(linears)
        self.small = weight.numel() <= SMALL
        plain = self.small and weight.dtype == torch.float32
        self.few = FEW if plain else 0
        self.plain = weight if plain else None

    @staticmethod
    def ready(states: torch.Tensor, rows: int) -> torch.Tensor:
        """What ``forward`` takes, for layers that share their input."""
        return states

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """The product; with ``residual``, of the shape of the result, their sum."""
        product: torch.Tensor
        if self.plain is not None and len(x) <= self.few and x.dim() == 2:
            return self._few(x, self.plain, residual)
        if residual is not None:
            product = torch.ops.mkldnn._linear_pointwise.binary(
                x, residual, self.weight, self.bias, "add"
            )
            return product
        activation, form = INSIDE[self.activation]
        product = torch.ops.mkldnn._linear_pointwise(
            x, self.weight, self.bias, activation, [], form
        )
        return product

    def _few(
        self, x: torch.Tensor, weight: torch.Tensor, residual: torch.Tensor | None
    ) -> torch.Tensor:
        product = nn.functional.linear(x, weight, self.bias)
        if residual is not None:
            return product.add_(residual)
        activation, form = INSIDE[self.activation]
        return nn.functional.gelu(product, approximate=form) if activation == "gelu" else product

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, packed for oneDNN"
        )


def stacked(weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """The weights of layers below each other: ``[sum of outputs, inputs]``."""
    return weights[0] if len(weights) == 1 else torch.cat(list(weights))


def stacked_bias(linears: Sequence[nn.Linear]) -> torch.Tensor | None:
    """The biases of stacked layers, end to end; one layer's own is shared. None where none has."""
    biases = [linear.bias for linear in linears]
    if len(biases) == 1 or all(bias is None for bias in biases):
        return biases[0]
    return nn.Parameter(torch.cat(list(biases)), requires_grad=False)


def check(model: nn.Module) -> None:
    """Raise PackingError where this torch, the model's device or its dtype rules packing out."""
    if not torch.backends.mkldnn.is_available():
        raise PackingError("this build of torch has no oneDNN")
    for tensor in chain(model.parameters(), model.buffers()):
        if tensor.device.type != "cpu":
            raise PackingError(f"the model is on {tensor.device}, and packing is for the CPU")
        if tensor.is_floating_point() and tensor.dtype not in TOLERANCE:
            raise PackingError(
                f"the model is in {str(tensor.dtype).removeprefix('torch.')}, and packing is for"
                " float32 and bfloat16"
            )


def packed_copy(model: nn.Module, linear: type[nn.Module] = PackedLinear) -> nn.Module:
    """A private copy of ``model`` with every ``nn.Linear`` packed as ``linear``; all other weights
    are shared with ``model``.

    Subclasses of ``nn.Linear`` are left as they are, because they may compute something else.
    Raises PackingError.
    """
    check(model)
    tensors = chain(model.parameters(), model.buffers())
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
    places = [
        (parent, name, child)
        for parent in twin.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear
    ]
    if not places:
        raise PackingError("the model has no linear layers")

    for parent, name, child in places:
        setattr(parent, name, linear(child))

    return twin.eval()


FORMS: Mapping[str, Callable[..., nn.Module]] = {"with padding": packed_copy}


def largest_difference(got: np.ndarray, expected: np.ndarray) -> float:
    """The largest absolute difference of two arrays; NaN where their shapes differ or they hold
    one.
    """
    if got.shape != expected.shape:
        return float("nan")
    return float(np.max(np.abs(got - expected)))


@dataclass(frozen=True)
class Choice:
    """Which model runs, and why. ``difference`` is the largest difference of a probability in the
    self-check, if it ran; ``form`` the name of what was packed.
    """

    model: nn.Module
    backend: str
    reason: str
    difference: float | None
    form: str | None = None


def choose(
    model: nn.Module,
    probabilities: Callable[[nn.Module], np.ndarray],
    forms: Mapping[str, Callable[..., nn.Module]] = FORMS,
) -> Choice:
    """The first packed form of ``model`` that answers a batch like ``model`` does; ``model`` itself
    where none does.

    ``forms``, fastest first: a name, and what builds the form or raises: PackingError, or whatever
    oneDNN does. ``probabilities(model)`` runs one real batch, with texts of several lengths in it,
    and returns ``[n_texts, n_labels]``. The reason also says why earlier forms were not used.
    """
    expected, difference, refused = None, None, []
    for name, build in forms.items():
        try:
            twin = build(model)
            expected = probabilities(model) if expected is None else expected
        except (
            RuntimeError,
            AttributeError,
        ) as error:  # bfloat16 on a processor without AVX-512, for one
            refused.append(f"Not packed {name}: {first_line(error)}.")
            continue

        try:
            got = probabilities(twin)
        except Exception as error:  # a model may read what a packed layer has no more
            refused.append(
                f"Not packed {name}: the packed model failed on a batch ({first_line(error)})."
            )
            continue

        limit = TOLERANCE[next(model.parameters()).dtype]
        difference = largest_difference(got, expected)
        if difference < limit:  # written so that NaN fails
            reason = (
                f"Packed for oneDNN, {name}; the self-check differed by {difference:.1g}, the limit"
                f" is {limit:.2g}."
            )
            return Choice(twin, "packed", " ".join([reason, *refused]), difference, name)
        refused.append(
            f"Not packed {name}: the self-check differed by {difference:.2g}, the limit is"
            f" {limit:.2g}."
        )
    return Choice(model, "eager", " ".join(refused), difference)
