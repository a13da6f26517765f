"""Remedies: settings that remove a known cause of difference from a device. ``remedy`` in the
parameters applies them.
"""

from __future__ import annotations

from typing import Any

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal.seal import resealed, unseal

# remedy -> the causes it removes, by the names of the rehearsal device's arithmetic modes
REMOVES: dict[str, tuple[str, ...]] = {
    "erf_gelu": ("tanh_gelu",),
    "float32_matmul": (
        "hf32",
        "hf32_away",
        "hf32_trunc",
        "tf32",
        "fp16_matmul",
        "bf16_matmul",
        "hf32_linear",
        "hf32_bmm",
        "hf32_conv",
    ),
}
# What the mode ascend910b stands for (goemo_utils.rehearsal.NUMERICS).
EXPANDED = {"ascend910b": ("tanh_gelu", "hf32_conv", "reorder", "ulp")}


def names(remedy: str) -> list[str]:
    """The remedies in a value such as ``erf_gelu+float32_matmul``; none for ``none``."""
    return [] if remedy == "none" else remedy.split("+")


def remedied(numerics: str, remedy: str) -> str:
    """The arithmetic a rehearsal device imitates once the remedies are applied: ``tanh_gelu+ulp``
    with ``erf_gelu`` is ``ulp``. What was sealed is sealed again.
    """
    if remedy == "none":
        return numerics
    removed = {cause for name in names(remedy) for cause in REMOVES[name]}
    modes: list[str] = []
    for given in unseal(numerics).split("+"):
        parts = EXPANDED.get(given, (given,))
        modes += parts if removed & set(parts) else [given]
    left = "+".join(dict.fromkeys(mode for mode in modes if mode not in removed)) or "exact"
    return resealed(left, numerics)


def apply(remedy: str, kind: str) -> None:
    """Throw the switches of a real device (``kind``: npu, cuda or cpu).

    Sources: torch_npu's ``use_compatible_impl`` (aclnnGeluV2 instead of aclnnGelu),
    ``torch.npu.matmul.allow_hf32``; PyTorch's notes on TensorFloat-32. Raises DeviceError when the
    device has no such switch.
    """
    for name in names(remedy):
        if name == "erf_gelu" and kind != "npu":
            raise DeviceError(
                f"remedy: erf_gelu was asked of a {kind} device, which computes the erf form"
                " already. Leave it out."
            )
        {"erf_gelu": _erf_gelu, "float32_matmul": _float32_matmul}[name](kind)


def _erf_gelu(kind: str) -> None:
    import torch_npu

    switch: Any = getattr(torch_npu.npu, "use_compatible_impl", None)
    if switch is None:
        raise DeviceError(
            "remedy: erf_gelu needs torch_npu.npu.use_compatible_impl, which torch_npu"
            f" {torch_npu.__version__} does not have. Use a release of TorchNPU 26.0.0 or later"
            " (torch_npu 2.8.0.post4), or call torch_npu.npu_gelu(x, approximate='none') in the"
            " model."
        )
    switch(True)


def _float32_matmul(kind: str) -> None:
    import torch

    torch.set_float32_matmul_precision("highest")
    if kind == "npu":
        npu: Any = vars(torch)["npu"]  # torch_npu puts it there
        npu.matmul.allow_hf32 = False
        npu.conv.allow_hf32 = False
    if kind == "cuda":
        torch.backends.cudnn.allow_tf32 = False
