"""Switching the simulated device on: the public functions of the package that need torch."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal import (
    autocast,
    factories,
    faults,
    kernels,
    limits,
    module,
    standin,
    storage,
)
from goemo_utils.rehearsal.dispatcher import Library
from goemo_utils.rehearsal.grammar import Fault, parse_fault, parse_size
from goemo_utils.rehearsal.numerics import handlers
from goemo_utils.rehearsal.settings import MOST_DEVICES, parse_numerics
from goemo_utils.rehearsal.state import STATE, Settings
from goemo_utils.rehearsal.tracker import hits

OLDEST_TORCH = (2, 10)
"""The first release with torch.utils.backend_registration._setup_privateuseone_for_python_backend.
"""


def enable(
    numerics: str = "exact",
    memory_limit: int | str | None = None,
    devices: int = 1,
    fault: str | None = None,
    seed: int = 0,
) -> None:
    """Give this process a simulated device named ``npu``, before or after transformers is imported.
    Repeating it is harmless.

    Args:
        numerics: names of ``NUMERICS`` joined by ``+``.
        memory_limit: bytes each device has, or a size such as ``"200MiB"``; None for no limit.
        devices: how many devices exist, ``npu:0`` to ``npu:<devices - 1>``.
        fault: faults joined by ``;`` (see ``settings.FAULTS``); those that name a module need
        ``attach``.
        seed: of the ``ulp`` noise.

    Raises:
        DeviceError: a setting is wrong, torch is too old, a working torch_npu is present, another
        backend has taken the
            place of a third-party device, or the device is already on with other settings.
    """
    arithmetic = parse_numerics(numerics)
    # Each card of several has a process of its own, in which it is card 0.
    disturbances = tuple(one for one in parse_fault(fault) if one.on(0))
    limit = parse_size(memory_limit) if isinstance(memory_limit, str) else memory_limit
    _check_settings(limit, devices, seed, disturbances)
    settings = Settings(arithmetic, limit, devices, disturbances, seed)

    if STATE.settings is not None:
        if STATE.settings == settings:
            return
        raise DeviceError(
            "The rehearsal device is already on in this process with numerics"
            f" {STATE.numerics.text!r} and fault {STATE.fault!r}, and a process has one such"
            " device; restart it (in a notebook: restart the kernel) to use other settings."
        )

    faults.check(disturbances, _operators())
    _check_process()
    STATE.devices, STATE.seed, STATE.fault = devices, seed, fault or None
    _register()
    _check_round_trip()
    standin.install()
    STATE.memory_limit = limit
    STATE.arithmetic_settings, STATE.arithmetic = arithmetic, handlers(arithmetic, seed)
    faults.install(disturbances)
    STATE.settings = settings


def attach(model: nn.Module) -> None:
    """Follow ``model``, so that faults which name a module find it; needed only for those and for
    plain ``oom``.

    Raises:
        DeviceError: the device is not on, or a fault names a module that the model does not have.
    """
    if STATE.settings is None:
        raise DeviceError(
            "The rehearsal device is not on in this process; call rehearsal.enable() before"
            " rehearsal.attach(model)."
        )
    faults.attach(model, STATE.settings.faults)


def fault_hits() -> dict[str, int]:
    """How often each fault has fired so far, by its text. A zero says that the fault was never
    reached.
    """
    return dict(hits)


def _check_settings(
    limit: int | None, devices: int, seed: int, disturbances: Sequence[Fault]
) -> None:
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit <= 0):
        raise DeviceError(
            f"The memory limit {limit!r} is not usable; expected a number of bytes above 0, a size"
            " such as '200MiB', or None."
        )
    if (
        isinstance(devices, bool)
        or not isinstance(devices, int)
        or not 1 <= devices <= MOST_DEVICES
    ):
        raise DeviceError(
            f"The number of rehearsal devices is {devices!r}; expected an integer from 1 to"
            f" {MOST_DEVICES}."
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise DeviceError(f"The seed of the rehearsal device is {seed!r}; expected an integer.")

    twice = [fault.text for fault in disturbances if fault.kind == "oom"]
    if len(twice) + (limit is not None) > 1:
        raise DeviceError(
            f"The device memory is limited more than once (memory limit {limit}, faults {twice});"
            " give one limit."
        )


def _check_process() -> None:
    release = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if release < OLDEST_TORCH:
        raise DeviceError(
            f"The rehearsal device needs torch {OLDEST_TORCH[0]}.{OLDEST_TORCH[1]} or later, but"
            f" this is torch {torch.__version__}: earlier releases cannot register a device from"
            " Python; install a later torch in an environment for rehearsals."
        )
    if _torch_npu_works():
        raise DeviceError(
            "The rehearsal device cannot share a process with torch_npu, which works here: use"
            " device npu:0 for the real one, or an environment without torch_npu to rehearse."
        )

    taken = torch._C._get_privateuse1_backend_name()
    if taken != "privateuseone":
        raise DeviceError(
            f"The rehearsal device needs torch's place for a third-party device, which {taken!r}"
            " has taken in this process; start a process that does not load it."
        )


def _torch_npu_works() -> bool:
    """Whether torch_npu is loaded, or installed and importable. An installed one without its CANN
    libraries does not count.
    """
    loaded = sys.modules.get("torch_npu")
    if loaded is not None:
        return hasattr(loaded, "npu")
    if importlib.util.find_spec("torch_npu") is None:
        return False

    environment = {**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}
    probe = subprocess.run(
        [sys.executable, "-c", "import torch_npu"],
        env=environment,
        capture_output=True,
        check=False,
    )

    return probe.returncode == 0


def _operators() -> set[str]:
    names = torch._C._dispatch_get_registrations_for_dispatch_key("CPU")
    return {
        name.removeprefix("aten::").partition(".")[0] for name in names if name.startswith("aten::")
    } | {"convolution"}


def _register() -> None:
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    npu = module.make()
    _setup_privateuseone_for_python_backend(rename="npu", backend_module=npu)
    sys.modules["torch.npu"] = npu
    library = Library("aten", "IMPL")
    for full, function in factories.RESERVED.items():
        library.impl(full.removeprefix("aten::"), function, "PrivateUse1")
    for postponed in ("Conjugate", "Negative", "ZeroTensor"):
        # Without this torch resolves a postponed conjugation by a copy, whose source it resolves by
        # a copy, without end.
        library.impl("_copy_from", torch.library.fallthrough_kernel, postponed)
    kernels.register(library, tuple(factories.RESERVED))
    others = Library("_", "IMPL")
    others.fallback(kernels.run, "PrivateUse1")
    for kind in (
        "SparsePrivateUse1",
        "SparseCsrPrivateUse1",
        "QuantizedPrivateUse1",
        "NestedTensorPrivateUse1",
    ):
        others.fallback(partial(kernels.refuse, kind.removesuffix("PrivateUse1")), kind)
    STATE.libraries += [library, others, *autocast.register()]
    storage.borrow_allocator()
    storage.patch()
    limits.patch()


def _check_round_trip() -> None:
    """The device rests on private parts of torch, so that what it does to three numbers is looked
    at once in every process.
    """
    numbers = torch.arange(3.0)
    sent = numbers.to("npu:0")
    if sent.device != torch.device("npu", 0) or not torch.equal(
        (sent + sent).cpu(), numbers + numbers
    ):
        raise DeviceError(
            f"The rehearsal device does not work with torch {torch.__version__}; install a release"
            " it is tested with, such as 2.13.0."
        )
