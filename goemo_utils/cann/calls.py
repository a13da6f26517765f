"""Where torch_npu's operator calls arrive: a record of words becomes tensors, the kernel runs.

The records are written by source/operators.c, which has checked every argument. Calls may come from
torch_npu's queue threads and from inside any guard of the caller (inference mode, autocast,
torch functions), so a kernel runs outside all of these.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
import traceback
from collections import Counter
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from goemo_utils.cann.kernels.registry import ATEN, KERNELS
from goemo_utils.cann.signatures import signatures
from goemo_utils.cann.words import arguments
from goemo_utils.errors import first_line
from goemo_utils.rehearsal.state import STATE

INNER_ERROR = 561000
"""ACLNN_ERR_INNER of CANN's documentation: a kernel failed while it ran."""
CALLS: Counter[str] = Counter()
MISSED: Counter[str] = Counter()
LISTENERS: list[Any] = []
"""Functions of (operator, argument names, arguments), called before a kernel runs."""

KERNEL_MODULES = (
    "attention",
    "gradients",
    "indexing",
    "layers",
    "losses",
    "moves",
    "norms",
    "optimisers",
    "pointwise",
    "products",
    "random",
    "reductions",
)
_KEPT: list[Any] = []
_Run = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int64), ctypes.c_int64)


def run(name: str, words: list[int]) -> None:
    """Run one operator: its kernel, then the fault of the rehearsal that names it."""
    CALLS[name] += 1
    if not torch.is_autocast_enabled("cpu"):
        _outside_guards(name, words)
        return
    with torch.autocast("cpu", enabled=False):
        _outside_guards(name, words)


def _outside_guards(name: str, words: list[int]) -> None:
    with torch._C.DisableTorchFunction(), torch._C._InferenceMode(False), torch.no_grad():
        values = arguments(name, words)
        for listener in LISTENERS:
            listener(name, signatures()[name].names, values)
        result = KERNELS[name](*values)
        if STATE.disturbances:
            disturbance = STATE.disturbances.get(ATEN.get(name, ""))
            if disturbance is not None:
                disturbance(result, values)


def register_kernels() -> None:
    """Import every kernel: each registers itself."""
    for name in KERNEL_MODULES:
        import_module(f"goemo_utils.cann.kernels.{name}")


def install() -> None:
    """Give the loaded libopapi.so the signatures and the kernels. Called by the runtime, once."""
    register_kernels()
    library = ctypes.CDLL("libopapi.so")
    folder = Path(_path_of(library))
    names = (folder / "operators.txt").read_text(encoding="utf-8").split("\n")
    letters = (ctypes.c_char_p * len(names))()
    for place, name in enumerate(names):
        if name in KERNELS and name in signatures():
            letters[place] = signatures()[name].letters.encode()

    say = ctypes.CDLL("libascendcl.so").goemo_say

    def answer(index: int, record: Any, count: int) -> int:
        if index < 0:
            MISSED[names[-1 - index]] += 1
            return 0
        try:
            run(names[index], record[:count])
            return 0
        except Exception as error:
            if os.environ.get("GOEMO_CANN_TRACE"):
                traceback.print_exc()
            kind, text = type(error).__name__, first_line(error)
            say(f"EZ9999: Inner Error! SIMULATED CANN: {names[index]}: {kind}: {text}".encode())
            return INNER_ERROR

    callback = _Run(answer)
    _KEPT.extend([library, letters, callback])
    library.goemo_install(letters, callback)
    atexit.register(_end)


def _path_of(library: ctypes.CDLL) -> str:
    """The folder of a loaded library, from the addresses this process has mapped."""
    address = ctypes.cast(library.goemo_install, ctypes.c_void_p).value or 0
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        span, *_rest, path = line.split(maxsplit=5)
        start, end = (int(part, 16) for part in span.split("-"))
        if start <= address < end:
            return str(Path(path).parent)
    raise FileNotFoundError("libopapi.so is not among the mapped files of this process")


def _end() -> None:
    """Let the queues run empty before torch_npu's own end waits for them: that holds Python's lock,
    which a kernel on a queue's thread needs, and would wait for ever.
    """
    npu: Any = vars(torch).get("npu")
    with suppress(RuntimeError):  # a device that has failed says so to whoever waited
        for device in range(npu.device_count() if npu else 0):
            npu.synchronize(device)
    if MISSED:
        names = ", ".join(f"{name} ({count})" for name, count in sorted(MISSED.items()))
        print(f"SIMULATED CANN: operators without a kernel: {names}", file=sys.stderr)
