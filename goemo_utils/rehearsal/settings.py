"""The words of ``rehearsal_numerics``: which arithmetic the device has. Imports no torch.

The arithmetic itself is in ``numerics``; the words for faults are in ``grammar``.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal.seal import is_sealed, unseal

_CANN = (
    "https://www.hiascend.com/document/detail/zh/CANNCommunityEdition/83RC1alpha003/API/aolapi"
    "/context"
)

MOST_DEVICES = 16
"""Simulated cards at most: those of a large Ascend server."""

NUMERICS: dict[str, str] = {
    "exact": (
        "the CPU kernels unchanged, so that eager models agree with the CPU to the bit (source:"
        " none, it is the baseline)"
    ),
    "hf32": (
        "operands of matmul and convolution rounded to 11 mantissa bits, ties to even, float32"
        " accumulation (source: Ascend's HF32, float32 range with an 11-bit mantissa, as the ATC"
        " option --allow_hf32 describes it; the tie rule is not documented)"
    ),
    "hf32_away": (
        "as hf32, ties away from zero (source: the other common hardware rule, since the"
        " documentation names none)"
    ),
    "hf32_trunc": (
        "as hf32, the lower bits cut off (source: the cheapest hardware rule, since the"
        " documentation names none)"
    ),
    "tf32": (
        "operands of matmul and convolution rounded to 10 mantissa bits, ties to even, float32"
        " accumulation (source: NVIDIA's TensorFloat-32, 10 explicit mantissa bits, for a CUDA"
        " machine as the reference)"
    ),
    "fp16_matmul": (
        "operands of matmul and convolution cast to float16, bfloat16's too, float32 accumulation"
        " (source:"
        " aclnnMatmul's cubeMathType USE_FP16, and what Atlas training 910A and 310P do to float32"
        " because their cube unit has no float32)"
    ),
    "bf16_matmul": (
        "operands of matmul and convolution cast to bfloat16, float16's too, float32 accumulation"
        " (source: the"
        " usual meaning of bfloat16 matrix units; torch calls it the 'medium' float32 matmul"
        " precision)"
    ),
    "hf32_linear": (
        "operands of linear layers (addmm, mm, mv) alone rounded as in hf32, products of attention"
        " exact (source: fused attention has a setting of its own, inner_precise of"
        " npu_fusion_attention, beside torch.npu.matmul.allow_hf32)"
    ),
    "hf32_bmm": (
        "operands of batched products (bmm, baddbmm: eager attention) alone rounded as in hf32,"
        " linear layers exact (source: the other half of hf32_linear)"
    ),
    "hf32_conv": (
        "operands of convolution alone rounded as in hf32, unless a mode above rounds them (source:"
        " torch.npu.conv.allow_hf32 is True by default, torch.npu.matmul.allow_hf32 False)"
    ),
    "tanh_gelu": (
        f"GELU always in its tanh form, whatever `approximate` says (source: {_CANN}/aclnnGelu.md,"
        " which torch_npu calls unless its compatible implementation is on)"
    ),
    "reorder": (
        "matmul accumulates K in blocks of 48 from the last to the first (source: any tiled matrix"
        " unit has its own order, and none is documented; this one merely differs from the CPU's)"
    ),
    "row_order": (
        "matmul accumulates K in blocks of 48 in the first half of the rows and of 16 in the"
        " second, so that a text's last bits depend on its place in the batch (source: stream-K"
        " and tail tiles of matrix units; the sizes are an assumption)"
    ),
    "truncating": (
        "matmul accumulates K in blocks of 16 and cuts each sum off towards zero in float32"
        " (source: matrix units that do not round their accumulator, as measured on NVIDIA tensor"
        " cores by Fasi et al. 2021, https://doi.org/10.7717/peerj-cs.330)"
    ),
    "ulp": (
        "softmax, log-softmax, GELU, tanh and LayerNorm with up to 4 units of 2^-24 relative noise,"
        " a fixed function of seed and value (source: the size is an assumption, an eighth of the"
        " 32 units in the last place that CANN's operator tests allow)"
    ),
    "ulp12": "as ulp with 12 units (source: between ulp and ulp32)",
    "ulp32": (
        "as ulp with 32 units (source: the largest error that CANN's operator tests allow a vector"
        " kernel in float32)"
    ),
    "ascend910b": (
        "what the documentation says an untouched 910B does: tanh_gelu, hf32_conv, reorder and ulp"
        " (source: as these)"
    ),
}

_OPERANDS = ("hf32", "hf32_away", "hf32_trunc", "tf32", "fp16_matmul", "bf16_matmul")
_ORDERS = ("reorder", "row_order", "truncating")
_UNITS = {"ulp": 4, "ulp12": 12, "ulp32": 32}
_LIKE_910B = ("tanh_gelu", "hf32_conv", "reorder", "ulp")
"""What ``ascend910b`` stands for."""


@dataclass(frozen=True)
class Numerics:
    """The arithmetic of the device.

    ``matmul`` names the operand rounding of every matrix product, ``linear`` and ``batched`` those
    of one family where it differs, ``convolution`` that of convolutions; None is float32 operands.
    ``order`` names how K is accumulated, None as the CPU does; ``ulp`` is the noise of the vector
    kernels in units of 2^-24.
    """

    text: str = "exact"
    matmul: str | None = None
    convolution: str | None = None
    linear: str | None = None
    batched: str | None = None
    tanh_gelu: bool = False
    order: str | None = None
    ulp: int = 0


def parse_numerics(text: str) -> Numerics:
    """Read names of ``NUMERICS`` joined by ``+``, for example ``hf32+tanh_gelu``, or a token in
    their place (``seal``), which stays the text.

    Raises:
        DeviceError: a name is unknown or given twice, ``exact`` is combined, or two names set the
        same thing, such as the rounding of operands.
    """
    if is_sealed(text):
        return replace(parse_numerics(unseal(text)), text=text)

    names = [name.strip() for name in text.split("+")] if isinstance(text, str) else []
    unknown = [name for name in names if name not in NUMERICS]
    if not names or unknown:
        received = unknown[0] if unknown else text
        raise DeviceError(
            f"The rehearsal arithmetic {received!r} is unknown; expected one or more of"
            f" {', '.join(NUMERICS)}, joined by '+', for example 'hf32+tanh_gelu'."
        )
    if len(set(names)) < len(names):
        raise DeviceError(
            f"The rehearsal arithmetic {text!r} names a mode twice; name each mode once."
        )
    if "exact" in names and len(names) > 1:
        raise DeviceError(
            f"The rehearsal arithmetic {text!r} combines 'exact' with a deviation; drop 'exact' or"
            " the others."
        )

    modes = {*names, *(_LIKE_910B if "ascend910b" in names else ())}
    _one_of_each(text, modes)
    rounding = _only(modes, _OPERANDS)
    units = _only(modes, _UNITS)

    return Numerics(
        text="+".join(name for name in NUMERICS if name in names),
        matmul=rounding,
        convolution=rounding or ("hf32" if "hf32_conv" in modes else None),
        linear=rounding or ("hf32" if "hf32_linear" in modes else None),
        batched=rounding or ("hf32" if "hf32_bmm" in modes else None),
        tanh_gelu="tanh_gelu" in modes,
        order=_only(modes, _ORDERS),
        ulp=_UNITS[units] if units else 0,
    )


def _only(modes: Collection[str], group: Iterable[str]) -> str | None:
    """The mode of ``group`` that is asked for."""
    return next((name for name in group if name in modes), None)


_GROUPS = {
    "rounds the matmul operands": _OPERANDS,
    "rounds the operands of linear layers": (*_OPERANDS, "hf32_linear"),
    "rounds the operands of batched products": (*_OPERANDS, "hf32_bmm"),
    "orders the accumulation": _ORDERS,
    "sets the noise": tuple(_UNITS),
}
"""What modes do of which one can be asked for."""


def _one_of_each(text: str, modes: Collection[str]) -> None:
    """Refuse two modes that would set the same thing."""
    for deed, group in _GROUPS.items():
        chosen = [name for name in group if name in modes]
        if len(chosen) > 1:
            raise DeviceError(
                f"The rehearsal arithmetic {text!r} {deed} in {len(chosen)} ways"
                f" ({', '.join(chosen)}); keep one of them."
            )
