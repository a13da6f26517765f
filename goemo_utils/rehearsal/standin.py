"""A stand-in for the ``torch_npu`` package, so that transformers and accelerate find the simulated
device by themselves.

It is an object in ``sys.modules`` of this process: marked, versionless, and never a file, a
distribution or an entry point that another process or an installer could take for the real package.
"""

import importlib.machinery
import sys
import types
from typing import Any

from goemo_utils.environment.torch_npu import forget_absence
from goemo_utils.rehearsal import dispatcher
from goemo_utils.rehearsal.state import MARK

VERSION = "0+simulated"


class TorchNpuStandIn(types.ModuleType):
    """Answers for ``torch_npu``; whatever it does not have is a missing NPU kernel, and says so."""

    IS_SIMULATED = True
    __version__ = VERSION
    npu: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("npu_"):

            def missing(*_args: Any, **_kwargs: Any) -> Any:
                raise NotImplementedError(
                    f"torch_npu.{name} is an NPU kernel that the rehearsal device does not have; "
                    f"use attn_implementation='eager' or 'sdpa', or run on a real NPU. {MARK}"
                )

            return missing
        raise AttributeError(f"the simulated torch_npu has no attribute {name!r} {MARK}")


def is_standin(module: Any) -> bool:
    """Whether ``module`` is the stand-in rather than the real torch_npu."""
    return isinstance(module, TorchNpuStandIn)


def install() -> None:
    """Put the stand-in into ``sys.modules`` and let libraries that already looked for torch_npu
    look again.
    """
    module = TorchNpuStandIn(
        "torch_npu", "A stand-in made by goemo's rehearsal device. Not torch_npu."
    )
    module.__spec__ = importlib.machinery.ModuleSpec("torch_npu", None)
    npu = dispatcher.npu()
    module.npu = npu
    sys.modules["torch_npu"] = module
    sys.modules["torch_npu.npu"] = npu
    forget_absence()
    attention: Any = sys.modules.get("transformers.integrations.sdpa_attention")

    if hasattr(attention, "_is_torch_npu_available"):
        attention._is_torch_npu_available = True
