"""``torch.npu``: the functions that code written for torch_npu calls, answered by the simulated
device.
"""

import types
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from goemo_utils.rehearsal import memory
from goemo_utils.rehearsal.kernels import ordinal
from goemo_utils.rehearsal.numerics import handlers
from goemo_utils.rehearsal.state import DEVICE_NAME, MARK, STATE
from goemo_utils.rehearsal.streams import Event, Stream


class NpuModule(types.ModuleType):
    """Stands for ``torch.npu``; ``IS_SIMULATED`` is True on it and absent on the real one."""

    IS_SIMULATED = True


_FAMILIES = {"matmul": ("matmul", "linear", "batched"), "convolution": ("convolution",)}
"""The fields of ``Numerics`` that a switch sets; the first is what it reads."""


class Hf32Switch:
    """``torch.npu.matmul`` or ``torch.npu.conv``: ``allow_hf32`` reads and changes the rounding of
    that family's operands.

    It starts as the numerics say, so both are off in ``exact`` mode, where the real device has it
    on for convolutions.
    """

    def __init__(self, family: str) -> None:
        object.__setattr__(self, "family", family)

    family: str

    def __getattr__(self, name: str) -> bool:
        if name != "allow_hf32":
            raise AttributeError(
                f"torch.npu.{self.family} has no attribute {name!r} on the rehearsal device {MARK}"
            )
        rounding: str | None = getattr(STATE.arithmetic_settings, self.family)
        return rounding is not None and rounding.startswith("hf32")

    def __setattr__(self, name: str, value: bool) -> None:
        if name != "allow_hf32" or not isinstance(value, bool):
            raise TypeError(
                f"torch.npu.{self.family} takes only allow_hf32 = True or False, but got {name} ="
                f" {value!r} {MARK}"
            )
        rounding = "hf32" if value else None
        _change_arithmetic(dict.fromkeys(_FAMILIES[self.family], rounding))


def _change_arithmetic(fields: dict[str, Any]) -> None:
    STATE.arithmetic_settings = replace(STATE.arithmetic_settings, **fields)
    STATE.arithmetic = handlers(STATE.arithmetic_settings, STATE.seed)


def use_compatible_impl(enabled: bool) -> None:
    """Compute GELU in the form asked for, as torch_npu's switch of this name does; False brings
    back what the numerics say.
    """
    _change_arithmetic({"tanh_gelu": STATE.numerics.tanh_gelu and not enabled})


class Selected:
    """``with torch.npu.device(1):`` makes a device current; ``-1`` and None change nothing."""

    def __init__(self, device: Any = None) -> None:
        self.index = STATE.current if device in (None, -1) else index_of(device)

    def __enter__(self) -> None:
        self.before, STATE.current = STATE.current, self.index

    def __exit__(self, *_exception: Any) -> None:
        STATE.current = self.before


class Properties(types.SimpleNamespace):
    """What ``get_device_properties`` returns; fields that describe silicon are absent, because
    there is none.
    """

    name: str
    total_memory: int


def index_of(device: Any) -> int:
    """The index meant by None, an int, ``"npu:1"`` or a ``torch.device``.

    Raises:
        RuntimeError: there is no such device.
    """
    if isinstance(device, int):
        return ordinal(torch.device("npu", device))
    return ordinal(None if device is None else torch.device(device))


def _set_device(device: Any) -> None:
    STATE.current = index_of(device)


def _set_rng_state(state: torch.Tensor, device: Any = None) -> None:
    index_of(device)
    torch.default_generator.set_state(state)


def _set_rng_state_all(states: list[torch.Tensor]) -> None:
    torch.default_generator.set_state(states[0])


def _seed() -> int:
    return torch.default_generator.seed()


def _manual_seed(seed: int) -> None:
    torch.default_generator.manual_seed(seed)


def _properties(device: Any = None) -> Properties:
    index_of(device)
    return Properties(name=DEVICE_NAME, total_memory=memory.total())


def _stats(device: Any = None) -> dict[str, int]:
    index = index_of(device)
    return {
        "allocated_bytes.all.current": memory.allocated(index),
        "allocated_bytes.all.peak": memory.peak(index),
    }


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    return None


def _checked(answer: Callable[[int], Any]) -> Callable[..., Any]:
    """``answer`` for the index that a caller means by any way of naming a device."""

    def function(device: Any = None) -> Any:
        return answer(index_of(device))

    return function


def _functions() -> dict[str, Any]:
    free_and_total = _checked(
        lambda index: (memory.total() - memory.allocated(index), memory.total())
    )

    return {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": _nothing,
        "_lazy_init": _nothing,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: STATE.devices,
        "current_device": lambda: STATE.current,
        "set_device": _set_device,
        "device": Selected,
        "get_device_name": _checked(lambda index: DEVICE_NAME),
        "get_device_properties": _properties,
        "get_device_capability": _checked(lambda index: None),
        "synchronize": _checked(lambda index: None),
        "empty_cache": _nothing,
        "memory_allocated": _checked(memory.allocated),
        "max_memory_allocated": _checked(memory.peak),
        "memory_reserved": _checked(memory.allocated),
        "max_memory_reserved": _checked(memory.peak),
        "reset_peak_memory_stats": _checked(memory.reset_peak),
        "reset_max_memory_allocated": _checked(memory.reset_peak),
        "memory_stats": _stats,
        "memory_summary": lambda device=None, abbreviated=False: f"{DEVICE_NAME}: {_stats(device)}",
        "mem_get_info": free_and_total,
        "manual_seed": _manual_seed,
        "manual_seed_all": _manual_seed,
        "seed": _seed,
        "seed_all": _seed,
        "initial_seed": torch.initial_seed,
        "get_rng_state": _checked(lambda index: torch.default_generator.get_state()),
        "get_rng_state_all": lambda: [
            torch.default_generator.get_state() for _ in range(STATE.devices)
        ],
        "set_rng_state": _set_rng_state,
        "set_rng_state_all": _set_rng_state_all,
        "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
        "is_bf16_supported": lambda: True,
        "amp": types.SimpleNamespace(
            autocast=partial(torch.autocast, "npu"), GradScaler=partial(torch.amp.GradScaler, "npu")
        ),
        "matmul": Hf32Switch("matmul"),
        "conv": Hf32Switch("convolution"),
        "use_compatible_impl": use_compatible_impl,
        "config": types.SimpleNamespace(allow_internal_format=False),
        "set_compile_mode": _nothing,
        "set_option": _nothing,
        "Event": Event,
        "Stream": Stream,
        "current_stream": _checked(Stream),
        "default_stream": _checked(Stream),
        "set_stream": _nothing,
        "stream": lambda stream: stream if stream is not None else Stream(STATE.current),
    }


_PARTS = {"random": ("seed", "rng_state"), "memory": ("memory", "empty_cache", "mem_get_info")}
"""Submodules of ``torch.npu``, and what the names of their functions contain."""


def make() -> NpuModule:
    """The module to register as ``torch.npu``."""
    module = NpuModule("torch.npu", "The simulated NPU of a rehearsal. It is not an accelerator.")
    functions = _functions()
    for name, function in functions.items():
        setattr(module, name, function)

    for name, words in _PARTS.items():
        part = {
            key: value for key, value in functions.items() if any(word in key for word in words)
        }
        setattr(module, name, types.SimpleNamespace(**part))
    return module
