"""What a rehearsal device can be asked to do, and the parsers that refuse anything else. Imports no
torch.

The arithmetic itself is in ``numerics``, the faults themselves in ``faults``.
"""

import math
import re
from dataclasses import dataclass

from goemo_utils.errors import DeviceError

_CANN = "https://www.hiascend.com/document/detail/zh/CANNCommunityEdition/83RC1alpha003/API/aolapi/context"

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
        "operands of matmul and convolution cast to float16, float32 accumulation (source:"
        " aclnnMatmul's cubeMathType USE_FP16, and what Atlas training 910A and 310P do to float32"
        " because their cube unit has no float32)"
    ),
    "bf16_matmul": (
        "operands of matmul and convolution cast to bfloat16, float32 accumulation (source: the"
        " usual meaning of bfloat16 matrix units; torch calls it the 'medium' float32 matmul"
        " precision)"
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
    "ulp": (
        "softmax, log-softmax, GELU, tanh and LayerNorm with up to 4 units of 2^-24 relative noise,"
        " a fixed function of seed and value (source: the size is an assumption, an eighth of the"
        " 32 units in the last place that CANN's operator tests allow)"
    ),
    "ascend910b": (
        "what the documentation says an untouched 910B does: tanh_gelu, hf32_conv, reorder and ulp"
        " (source: as these)"
    ),
}

_OPERANDS = ("hf32", "hf32_away", "hf32_trunc", "tf32", "fp16_matmul", "bf16_matmul")


@dataclass(frozen=True)
class Numerics:
    """The arithmetic of the device. ``matmul`` and ``convolution`` name an operand rounding, or
    None for float32 operands.
    """

    text: str = "exact"
    matmul: str | None = None
    convolution: str | None = None
    tanh_gelu: bool = False
    reorder: bool = False
    ulp: bool = False


def parse_numerics(text: str) -> Numerics:
    """Read names of ``NUMERICS`` joined by ``+``, for example ``hf32+tanh_gelu``.

    Raises:
        DeviceError: a name is unknown or given twice, ``exact`` is combined, or two names round the
        same operands.
    """
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
    operands = [name for name in names if name in _OPERANDS]
    if len(operands) > 1:
        raise DeviceError(
            f"The rehearsal arithmetic {text!r} rounds the matmul operands in {len(operands)} ways"
            f" ({', '.join(operands)}); keep one of them."
        )
    rounding = operands[0] if operands else None
    ascend = "ascend910b" in names
    return Numerics(
        text="+".join(name for name in NUMERICS if name in names),
        matmul=rounding,
        convolution=rounding or ("hf32" if ascend or "hf32_conv" in names else None),
        tanh_gelu=ascend or "tanh_gelu" in names,
        reorder=ascend or "reorder" in names,
        ulp=ascend or "ulp" in names,
    )


FAULTS: dict[str, str] = {
    "scale": "OPERATOR[@MODULE]:scale=1.01 multiplies the output",
    "add": "OPERATOR[@MODULE]:add=1e-3 adds to the output",
    "zero": "OPERATOR[@MODULE]:zero sets the output to zero, zero=row only its first row",
    "clamp": "OPERATOR[@MODULE]:clamp=2.5 limits the output to -2.5..2.5",
    "nan": (
        "OPERATOR[@MODULE]:nan puts a NaN into the first element of the output, nan=all into every"
        " element"
    ),
    "fallback": (
        "OPERATOR[@MODULE]:fallback writes torch_npu's CPU-fallback warning to stderr once an"
        " operator and changes nothing"
    ),
    "oom": (
        "oom=200MiB limits the device memory; plain oom leaves nothing beyond what is allocated"
        " when attach() is called"
    ),
    "slow_first": (
        "slow_first=2.5 makes the first operator take so many seconds longer, as compilation on"
        " first use does"
    ),
}


@dataclass(frozen=True)
class Fault:
    """One fault: ``kind`` is a key of ``FAULTS``; ``operator`` has no ``aten::``; ``module`` is a
    dotted path or its end, or None.

    ``value`` is a factor, a summand, a bound, a number of seconds, or a number of bytes, by
    ``kind``; ``part`` is "", "row" or "all".
    """

    text: str
    kind: str
    operator: str | None = None
    module: str | None = None
    value: float = 0.0
    part: str = ""


_SITE = re.compile(
    r"(?:aten::)?(?P<operator>[A-Za-z_]\w*)(?:@(?P<module>[\w.]+))?:(?P<kind>\w+)(?:=(?P<value>.+))?"
)
_GLOBAL = re.compile(r"(?P<kind>oom|slow_first)(?:=(?P<value>.+))?")
_SIZE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>B|KiB|MiB|GiB|kB|KB|MB|GB)?")
_UNITS = {
    None: 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
}


def parse_fault(text: str | None) -> tuple[Fault, ...]:
    """Read faults joined by ``;``, for example
    ``native_layer_norm@encoder.layer.1.output.LayerNorm:scale=1.01``.

    None or an empty text is no fault. Whether the operator and the module exist is checked by
    ``enable`` and ``attach``.

    Raises:
        DeviceError: a fault is malformed, its kind is unknown, or its value is missing, superfluous
        or not finite.
    """
    return tuple(_one_fault(item.strip()) for item in (text or "").split(";") if item.strip())


def _one_fault(text: str) -> Fault:
    match = _GLOBAL.fullmatch(text) or _SITE.fullmatch(text)
    if (
        match is None
        or match["kind"] not in FAULTS
        or (match.re is _SITE and match["kind"] in ("oom", "slow_first"))
    ):
        raise DeviceError(
            f"The fault {text!r} cannot be read; expected one of: {'; '.join(FAULTS.values())}."
        )
    fields = match.groupdict()
    kind, value = fields["kind"], fields["value"]
    operator, module = fields.get("operator"), fields.get("module")
    if kind == "oom":
        return Fault(text, kind, value=math.inf if value is None else parse_size(value))
    if kind in ("zero", "nan", "fallback"):
        allowed = {"zero": (None, "row"), "nan": (None, "all"), "fallback": (None,)}[kind]
        if value not in allowed:
            raise DeviceError(
                f"The fault {text!r} has the value {value!r}; expected: {FAULTS[kind]}."
            )
        return Fault(text, kind, operator, module, part=value or "")
    try:
        number = float(value or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (number < 0 and kind in ("clamp", "slow_first")):
        raise DeviceError(
            f"The fault {text!r} has the value {value!r}; expected a finite number: {FAULTS[kind]}."
        )
    return Fault(text, kind, operator, module, value=number)


def parse_size(text: str) -> int:
    """Read a number of bytes: ``1048576``, ``200MiB``, ``1.5 GB``.

    Raises:
        DeviceError: it is no size, or zero.
    """
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match["number"]) * _UNITS[match["unit"]]) if match else 0
    if size <= 0:
        raise DeviceError(
            f"The memory size {text!r} cannot be read; expected a number above 0 with a unit, for"
            " example '200MiB'."
        )
    return size
