"""What to do about a cause: one remedy a cause, as code, as the parameter that applies it here, and
where it is documented.
"""

from collections.abc import Mapping, Sequence
from typing import Any

HF32 = {
    "title": "Keep float32 in matrix products",
    "code": (
        "import torch_npu\n\ntorch.npu.matmul.allow_hf32 = False\ntorch.npu.conv.allow_hf32 = False"
    ),
    "parameter": {"remedy": "float32_matmul"},
    "expect": "R falls to rounding; matrix products become slower.",
    "source": (
        "torch_npu: torch.npu.matmul.allow_hf32 (default False), torch.npu.conv.allow_hf32 (default"
        " True)"
    ),
}

CONVOLUTION = (
    "torch.backends.cudnn.allow_tf32 = False   # CUDA; on Ascend: import torch_npu;"
    " torch.npu.conv.allow_hf32 = False"
)

REMEDIES: dict[str, dict[str, Any]] = {
    "tanh_gelu": {
        "title": "Call the erf form of GELU",
        "code": (
            "import torch_npu\n\ntorch_npu.npu.use_compatible_impl(True)   # every GELU then"
            " honours approximate='none'\n# or, for one module: torch_npu.npu_gelu(x,"
            " approximate='none')"
        ),
        "parameter": {"remedy": "erf_gelu"},
        "expect": "R falls to rounding; no weight changes.",
        "source": (
            "torch_npu documentation of npu_gelu; aclnnGelu is the tanh form, aclnnGeluV2 has both"
        ),
    },
    "hf32": HF32,
    "hf32_away": HF32,
    "hf32_trunc": HF32,
    "tf32": {
        "title": "Keep float32 in matrix products",
        "code": (
            "torch.backends.cuda.matmul.fp32_precision = 'ieee'   # CUDA; on Ascend:"
            " torch.npu.matmul.allow_hf32 = False"
        ),
        "parameter": {"remedy": "float32_matmul"},
        "expect": "R falls to rounding; matrix products become slower.",
        "source": "PyTorch notes on TensorFloat-32",
    },
    "fp16_matmul": {
        "title": "Ask for float32 in matrix products, where the chip has it",
        "code": (
            "import torch_npu\n\ntorch.npu.matmul.cube_math_type ="
            " torch.npu.CubeMathType.KEEP_DTYPE"
        ),
        "parameter": {"remedy": "float32_matmul"},
        "expect": (
            "R falls to rounding on A2 and A3. Atlas 910A and 310P have no float32 matrix unit:"
            " there the cause stays."
        ),
        "source": (
            "op-plugin: cubeMathType; ACL_PRECISION_MODE is allow_fp32_to_fp16 by default on 910"
            " and 310P"
        ),
    },
    "bf16_matmul": {
        "title": "Ask for float32 in matrix products",
        "code": "torch.set_float32_matmul_precision('highest')   # and no autocast to bfloat16",
        "parameter": {"remedy": "float32_matmul"},
        "expect": "R falls to rounding; matrix products become slower.",
        "source": "PyTorch: torch.set_float32_matmul_precision",
    },
}

REMEDIES |= {
    f"{name}_conv": {
        **REMEDIES[name],
        "title": "Keep float32 in convolutions",
        "code": CONVOLUTION,
        "expect": "R falls to rounding; convolutions become slower.",
        "source": (
            "torch_npu: torch.npu.conv.allow_hf32 (default True); PyTorch notes on TensorFloat-32:"
            " cuDNN convolutions use it by default"
        ),
    }
    for name in ("hf32", "hf32_away", "hf32_trunc", "tf32", "fp16_matmul", "bf16_matmul")
}

REMEDIES |= {
    f"{name}_{family}": REMEDIES[name]
    for name in ("hf32", "hf32_away", "hf32_trunc", "tf32", "fp16_matmul", "bf16_matmul")
    for family in ("linear", "bmm", "attention")
}

REPEAT = {
    "cause": "not repeatable",
    "title": "Ask for deterministic kernels",
    "code": "torch.use_deterministic_algorithms(True)   # before the first forward run",
    "parameter": None,
    "expect": "Two runs give the same bits.",
    "source": "torch_npu: matmul and embedding on A2 and A3 may otherwise be non-deterministic",
}

BATCH = {
    "cause": "not invariant",
    "title": "Ask for kernels that give each text the same bits in every batch",
    "code": (
        "import torch_npu\n\ntorch_npu.npu.set_deterministic_level(3)   # before the first forward"
        " run, for the whole process; slower"
    ),
    "parameter": None,
    "expect": "A text's answer no longer depends on its neighbours nor on padding.",
    "source": (
        "TorchNPU 26.2 release notes and cann/ops-math, batch_consistency.md: needs TorchNPU 26.2"
        " and CANN 9.2 or later; not with torch.use_deterministic_algorithms"
    ),
}

ATTENTION = {
    "cause": "fault in attention",
    "title": "Compute attention in separate steps",
    "code": "attn_implementation: eager",
    "parameter": {"attn_implementation": "eager"},
    "expect": "If the fault goes, it is in the fused attention kernel or in how it reads the mask.",
    "source": (
        "op-plugin: scaled_dot_product_attention runs FlashAttention for float32 too; masks of"
        " padded batches are its risk"
    ),
}


DTYPE = {
    "cause": "half precision",
    "title": "Compute in float32",
    "code": "dtype: float32",
    "parameter": {"dtype": "float32"},
    "expect": (
        "Fewer decisions change; the device becomes slower. bfloat16 keeps 8 bits of each number,"
        " float16 11, float32 24."
    ),
    "source": "IEEE 754; bfloat16 as float32 cut to 16 bits",
}


def remedies(
    causes: Sequence[str],
    place: Mapping[str, Any] | None,
    manifest: Mapping[str, Any],
    worse: bool = False,
    uneven: bool = False,
) -> list[dict[str, Any]]:
    """Remedies for the causes that were named, for a fused attention at fault, for a run that does
    not repeat, for answers that depend on the batch of an NPU (``uneven``), and for a half
    precision that changes decisions or quality by more than the limits (``worse``).
    """
    rows = [{"cause": name, **REMEDIES[name]} for name in causes if name in REMEDIES]
    if any(
        f["operator"] == "scaled_dot_product_attention" for f in (place or {}).get("faults", [])
    ):
        rows.append(dict(ATTENTION))
    if worse and manifest.get("dtype") in ("float16", "bfloat16"):
        rows.append(dict(DTYPE))
    if manifest.get("repeat_equal") is False:
        rows.append(dict(REPEAT))
    if uneven and (manifest.get("device") or {}).get("kind") in ("npu", "rehearsal"):
        rows.append(dict(BATCH))

    return rows
