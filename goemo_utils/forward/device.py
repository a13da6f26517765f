"""The one interface to a device: open it, synchronise it, read its memory, and prove where a
forward run took place.

A requested device that is absent is an error. It is never replaced by another one.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from goemo_utils import cann
from goemo_utils.environment import diagnose, torch_npu
from goemo_utils.errors import DeviceError, first_line
from goemo_utils.forward.remedy import apply, remedied
from goemo_utils.params.cards import Cards, is_one, is_several

if TYPE_CHECKING:
    import torch


GENUINE = "rehearsal:torch_npu"
"""The rehearsal with ``rehearsal_engine: torch_npu``."""


@dataclass(frozen=True)
class Device:
    """An open device. ``torch_device`` is the name PyTorch knows it by: the rehearsal device is
    "npu:0", as the real one would be.
    """

    requested: str
    kind: str
    torch_device: str
    name: str
    simulated: bool = False
    numerics: str = "exact"
    fault: str | None = None
    remedy: str = "none"

    @property
    def _module(self) -> Any:
        import torch

        return None if self.kind == "cpu" else getattr(torch, self.torch_device.partition(":")[0])

    def synchronize(self) -> None:
        """Wait until the device has finished: without it a clock measures how fast work is queued,
        not done.
        """
        if self._module is not None:
            self._module.synchronize()

    def memory(self) -> dict[str, int | None]:
        """Bytes of device memory: allocated now, allocated at most so far, and in total. None on
        the CPU, which has no allocator to ask.
        """
        if self._module is None:
            return {"allocated": None, "peak": None, "total": None}
        total = getattr(self._module.get_device_properties(self.torch_device), "total_memory", None)
        return {
            "allocated": self._module.memory_allocated(self.torch_device),
            "peak": self._module.max_memory_allocated(self.torch_device),
            "total": total,
        }

    def cards(self, asked: Cards) -> list[int]:
        """The numbers of the cards that are asked for, this device being the first.

        Raises DeviceError for a card that the machine does not have.
        """
        if self.kind in ("cpu", "rehearsal"):
            return list(asked.indices or (0,))
        count = self._module.device_count()
        if asked.indices is None:
            return list(range(count))

        absent = next((index for index in asked.indices if index >= count), None)
        if absent is not None:
            raise _no_such_card(asked.device(absent), self.kind, count)
        return list(asked.indices)

    def describe(self) -> dict[str, Any]:
        """What a record says about the device."""
        import torch

        return {
            "requested": self.requested,
            "kind": self.kind,
            "torch_device": self.torch_device,
            "name": self.name,
            "simulated": self.simulated,
            "numerics": self.numerics,
            "fault": self.fault,
            "remedy": self.remedy,
            "total_memory": self.memory()["total"],
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "task_queue_enable": os.environ.get("TASK_QUEUE_ENABLE"),
            "launch_blocking": os.environ.get("ASCEND_LAUNCH_BLOCKING"),
        }

    def attach(self, model: torch.nn.Module) -> None:
        """Tell a simulated device in which model its faults are placed; a real one needs nothing.

        Raises DeviceError when a fault names a module that the model does not have.
        """
        if not self.simulated:
            return
        if self.kind == "rehearsal" and self.requested != GENUINE:
            from goemo_utils import rehearsal

            rehearsal.attach(model)
        else:
            from goemo_utils.cann import rehearse

            rehearse.attach(model)

    def proof(self, model: torch.nn.Module, output: torch.Tensor) -> dict[str, Any]:
        """Evidence of where a forward run took place: where the parameters are, where the output
        was, how much memory is in use.
        """
        places = sorted({str(p.device) for p in model.parameters()})
        answered = str(output.device)
        memory = self.memory()
        on_device = places == [self.torch_device] and answered == self.torch_device

        return {
            "parameters_device": places,
            "output_device": answered,
            "expected": self.torch_device,
            "on_device": on_device,
            "memory_allocated": memory["allocated"],
            "memory_peak": memory["peak"],
            "simulated": self.simulated,
        }


def open_device(
    spec: str, numerics: str = "exact", fault: str | None = None, remedy: str = "none"
) -> Device:
    """Open ``cpu``, ``cuda:N``, ``npu:N``, ``rehearsal``, or ``rehearsal:torch_npu``: the genuine
    torch_npu on a simulated CANN.

    ``numerics`` and ``fault`` belong to the rehearsal device alone; ``remedy`` throws the device's
    switches, and takes the arithmetic they remove away from a rehearsal. Raises DeviceError when
    the device is absent or cannot be used.
    """
    kind, _, index = spec.partition(":")
    torch_npu.for_device(spec)
    if is_several(spec):
        first = Cards.of(spec).first
        raise DeviceError(
            f"Device '{spec}' names several cards, and one was expected here, such as {first}."
            " `goemo run -p device` judges several side by side; `goemo predict"
            " --engine ray` works on several."
        )
    if kind not in ("cpu", "cuda", "npu", "rehearsal") or not (spec == GENUINE or is_one(spec)):
        raise DeviceError(f"Unknown device '{spec}': expected cpu, cuda:N, npu:N or rehearsal.")
    if kind != "rehearsal" and (numerics != "exact" or fault):
        raise DeviceError(
            f"Numerics '{numerics}' and fault '{fault}' were asked of '{spec}': only the rehearsal"
            " device can imitate them."
        )
    if spec == GENUINE:
        return _open_genuine(numerics, fault, remedy)
    if kind == "rehearsal":
        return _open_rehearsal(spec, remedied(numerics, remedy), fault, remedy)

    device = {"cpu": _open_cpu, "cuda": _open_cuda, "npu": _open_npu}[kind](spec, int(index or 0))
    apply(remedy, kind)

    return replace(device, remedy=remedy)


def run_job(
    job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """In a worker: open a device and describe it, before anything costly is begun for it. Raises
    DeviceError as ``open_device`` does.
    """
    return open_device(job["device"]).describe()


def _open_cpu(spec: str, index: int) -> Device:
    return Device(spec, "cpu", "cpu", "CPU")


def _open_cuda(spec: str, index: int) -> Device:
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            f"Device '{spec}' was requested and PyTorch {torch.__version__} sees no CUDA device."
            " Use device: cpu, or install a CUDA build of torch and its driver; `goemo doctor`"
            " says which part is missing."
        )
    if index >= torch.cuda.device_count():
        raise _no_such_card(spec, "cuda", torch.cuda.device_count())
    torch.cuda.set_device(index)
    return Device(spec, "cuda", f"cuda:{index}", torch.cuda.get_device_name(index))


def _no_such_card(spec: str, kind: str, count: int) -> DeviceError:
    """The refusal of a card beyond the last one."""
    has = {
        "cuda": f"this machine has {count} CUDA device(s)",
        "npu": f"this process sees {count} NPU(s)",
    }
    return DeviceError(f"Device '{spec}' was requested and {has[kind]}, numbered from 0.")


def _open_npu(spec: str, index: int) -> Device:
    import torch

    if "goemo_utils.rehearsal.device" in sys.modules:
        from goemo_utils import rehearsal

        if rehearsal.is_simulated():
            raise DeviceError(
                f"Device '{spec}' was requested and this process already runs the SIMULATED one."
                " Use device: rehearsal, or start a new process."
            )
    import_torch_npu(spec)
    npu: Any = vars(torch)["npu"]
    if not npu.is_available():
        raise DeviceError(
            f"Device '{spec}' was requested and torch.npu.is_available() is False. Run `goemo"
            " doctor`: the usual causes are ASCEND_RT_VISIBLE_DEVICES not ascending, missing"
            " /dev/davinci* nodes, or a user outside the driver's group."
        )
    if index >= npu.device_count():
        raise _no_such_card(spec, "npu", npu.device_count())
    npu.set_device(index)
    simulated = cann.is_loaded()
    name = npu.get_device_name(index)
    if simulated and cann.NAME not in name:
        name = f"{name} ({cann.NAME})"
    return Device(spec, "npu", f"npu:{index}", name, simulated)


def _open_genuine(numerics: str, fault: str | None, remedy: str) -> Device:
    """The genuine torch_npu on a simulated CANN; its own switches are the remedies."""
    cann.enable()
    from goemo_utils.cann import rehearse

    rehearse.arm(numerics, fault)
    device = _open_npu("npu:0", 0)
    apply(remedy, "npu")
    return replace(
        device,
        requested=GENUINE,
        kind="rehearsal",
        numerics=numerics,
        fault=fault,
        remedy=remedy,
    )


def import_torch_npu(spec: str) -> None:
    """Import torch_npu by name, which registers torch.npu. Raises DeviceError with the diagnosis of
    what stopped it.
    """
    if spec == GENUINE:
        cann.enable()

    torch_npu.let_in()
    try:
        importlib.import_module("torch_npu")
    except Exception as error:  # a broken CANN raises ImportError, OSError or RuntimeError here
        text = "".join(traceback.format_exception(error))
        known = [one for one in diagnose(text) if one["severity"] == "error"]
        told = f" [{known[0]['id']}] {known[0]['title']}. {known[0]['cause']}" if known else ""
        raise DeviceError(
            f"Device '{spec}' was requested and torch_npu cannot be imported"
            f" ({type(error).__name__}: {first_line(error)}).{told} Run `goemo doctor --for npu`"
            " for the remedy; use device: rehearsal to practise without a card."
        ) from None


def _open_rehearsal(spec: str, numerics: str, fault: str | None, remedy: str) -> Device:
    from goemo_utils import rehearsal

    rehearsal.enable(numerics=numerics, fault=fault)
    import torch

    name = vars(torch)["npu"].get_device_name(0)
    return Device(spec, "rehearsal", "npu:0", name, True, numerics, fault, remedy)
