"""Names of the calls of a forward run: which compute, which change their input, and of which family
of operators they are.
"""

from goemo_utils.parity.emulate import FUSED_CALL

# What draws new numbers: two right devices draw others. A model that makes modules within a forward
# fills them so before it puts its weights there (BigBird).
DRAWS = frozenset(
    [
        "uniform_",
        "normal_",
        "trunc_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
        "xavier_uniform_",
        "xavier_normal_",
        "orthogonal_",
        "random_",
        "exponential_",
        "bernoulli",
        "bernoulli_",
        "multinomial",
        "normal",
        "rand_like",
        "randn_like",
        "randint_like",
    ]
)
MOVES = frozenset(
    [
        "to",
        "float",
        "double",
        "half",
        "bfloat16",
        "type",
        "type_as",
        "clone",
        "contiguous",
        "reshape",
        "view",
        "expand",
        "permute",
        "transpose",
        "unsqueeze",
        "squeeze",
        "detach",
        "cpu",
        "cuda",
        "npu",
        "numpy",
        "tolist",
        "item",
        "__get__",
        "__set__",
        "__getitem__",
        "full_like",
        "zeros_like",
        "ones_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_tensor",
        "split",
        "chunk",
        "flatten",
        "unflatten",
    ]
)
"""Calls that move, cast or make values and compute nothing."""

IN_PLACE = frozenset({"__iadd__", "__isub__", "__imul__", "__itruediv__", "__setitem__"})
ATTENTION = FUSED_CALL
LINEAR_CALLS = frozenset({"linear", "mm", "addmm"})
BATCHED_CALLS = frozenset({"bmm", "baddbmm", "einsum"})
FOLDED_CALLS = frozenset({"matmul", "__matmul__", "__rmatmul__"})
CONVOLUTION_CALLS = frozenset(
    {"conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
)
GELU_CALLS = frozenset({"gelu", "gelu_"})
PRODUCT_CALLS = LINEAR_CALLS | BATCHED_CALLS | FOLDED_CALLS | CONVOLUTION_CALLS | {ATTENTION}
EXACT_CALLS = frozenset(
    [
        "add",
        "add_",
        "__add__",
        "__radd__",
        "__iadd__",
        "sub",
        "__sub__",
        "__rsub__",
        "embedding",
        "index_select",
        "gather",
        "cat",
        "stack",
        "where",
        "masked_fill",
        "masked_fill_",
        "clamp",
        "relu",
        "dropout",
        "neg",
        "__neg__",
        "abs",
        "max",
        "min",
        "roll",
        "flip",
    ]
)
"""Calls that copy, choose, or round once: no standard allows them more than the CPU's own error."""
SUM_CALLS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
IDENTITY_CALLS = frozenset({"dropout"})
"""Calls that give their input back when nothing is trained; judged although they make nothing."""


def family(operator: str, folded: bool = False) -> str | None:
    """The family whose arithmetic a claim is about: matmul (linear layers), bmm, attention (fused),
    gelu, convolution, or None. ``folded``: a ``matmul`` by a matrix, which is a linear product.
    """
    if operator in FOLDED_CALLS:
        return "matmul" if folded else "bmm"
    families = (
        (LINEAR_CALLS, "matmul"),
        (BATCHED_CALLS, "bmm"),
        ({ATTENTION}, "attention"),
        (GELU_CALLS, "gelu"),
        (CONVOLUTION_CALLS, "convolution"),
    )
    return next((name for calls, name in families if operator in calls), None)


def changes_input(name: str) -> bool:
    """Whether a call overwrites one of its arguments."""
    return (name.endswith("_") and not name.endswith("__")) or name in IN_PLACE
