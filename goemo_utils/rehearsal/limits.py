"""Where torch would answer with an internal assertion, because the device is made in Python, the
simulated device answers itself.

These are ``torch.accelerator``'s memory, device and synchronisation functions, and gradients: on
any device but the first, or in a process that has computed gradients before.
"""

from collections.abc import Callable
from typing import Any

import torch

from goemo_utils.rehearsal import dispatcher, memory
from goemo_utils.rehearsal.state import MARK


def patch() -> None:
    """Replace the functions for this process, whose only accelerator is the simulated one."""
    for name, function in _accelerator().items():
        if hasattr(torch.accelerator, name):
            setattr(torch.accelerator, name, function)

    autograd: Any = torch.autograd
    explained = _explained(autograd.graph._engine_run_backward)
    autograd._engine_run_backward = autograd.graph._engine_run_backward = explained


def _accelerator() -> dict[str, Callable[..., Any]]:
    npu = dispatcher.npu()

    return {
        "synchronize": npu.synchronize,
        "set_device_index": npu.set_device,
        "set_device_idx": npu.set_device,
        "current_device_index": npu.current_device,
        "current_device_idx": npu.current_device,
        "empty_cache": npu.empty_cache,
        "memory_allocated": npu.memory_allocated,
        "max_memory_allocated": npu.max_memory_allocated,
        "memory_reserved": npu.memory_reserved,
        "max_memory_reserved": npu.max_memory_reserved,
        "memory_stats": npu.memory_stats,
        "get_memory_info": npu.mem_get_info,
        "reset_peak_memory_stats": npu.reset_peak_memory_stats,
        "reset_accumulated_memory_stats": lambda device=None: memory.reset_peak(
            npu.current_device()
        ),
    }


ONE_QUEUE = (
    "The rehearsal device computes gradients on npu:0 only; train there, or infer on the others."
)
TOO_LATE = (
    "The rehearsal device was switched on after this process had computed gradients on the CPU,"
    " and torch counts the devices that can compute gradients once a process; switch it on first"
    " (in a notebook: restart the kernel)."
)


def _explained(run_backward: Callable[..., Any]) -> Callable[..., Any]:
    """torch's autograd engine keeps one queue for a device made in Python, so it can serve
    ``npu:0`` only; and it makes its queues when a process computes its first gradients.
    """

    def explained(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return run_backward(tensors, *args, **kwargs)
        except RuntimeError as error:
            if "device_ready_queues_" not in str(error):
                raise
            on_first = all(tensor.get_device() <= 0 for tensor in tensors)
            reason = TOO_LATE if on_first else ONE_QUEUE
            raise RuntimeError(f"{reason} {MARK}") from None

    return explained
