"""The operators of the simulated device: each is the CPU kernel, run on the same bytes under a CPU
label.

One Python function is registered for every ``aten`` operator that has a CPU kernel, because a bare
fallback would let the dispatcher decompose operators that a device implements whole. View operators
touch only metadata and run on the device tensor itself, so that views alias truly.
"""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from goemo_utils.rehearsal.dispatcher import DispatchKey, DispatchKeySet, Library
from goemo_utils.rehearsal.kept import KEPT
from goemo_utils.rehearsal.retag import device, host
from goemo_utils.rehearsal.state import MARK, STATE, Handler, plain

CPU = torch.device("cpu")
CPU_KEYS = DispatchKeySet(DispatchKey.CPU)

_INDEXING = {
    "aten::index",
    "aten::index_put",
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::_unsafe_index",
}
"""Operators whose index tensors may lie on the CPU, as on every accelerator."""


class _Call:
    """One operator call in flight: which CPU tensor stands for which device tensor, and on which
    device it all is.
    """

    __slots__ = ("foreign", "fresh", "index", "name", "originals")

    def __init__(self, name: str) -> None:
        self.name = name
        self.index: int | None = None
        self.foreign: torch.device | None = None
        self.originals: dict[int, tuple[Tensor, Tensor]] = {}
        self.fresh: list[tuple[Tensor, Tensor]] = []

    def to_host(self, value: Any, resizable: bool) -> Any:
        """Replace device tensors and device arguments by their CPU counterparts, through lists."""
        if isinstance(value, Tensor):
            where = value.device
            if where.type != "npu":
                if self.foreign is None and value.dim():
                    self.foreign = where
                return value
            if self.index is None:
                self.index = where.index
            elif self.index != where.index:
                raise _mixed(f"npu:{self.index}", where, self.name)
            if resizable and not value.numel():
                twin = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
                self.fresh.append((value, twin))
            else:
                twin = host(value)
            self.originals[id(twin)] = (value, twin)
            return twin
        if isinstance(value, (list, tuple)) and any(isinstance(item, Tensor) for item in value):
            return [self.to_host(item, resizable) for item in value]
        if isinstance(value, torch.device) and value.type == "npu":
            if self.index is None:
                self.index = ordinal(value)
            return CPU

        return value

    def forget(self, writes: bool) -> None:
        """Keep no rounding of what a call that writes may write to."""
        if writes and KEPT.weights:
            for original, _ in self.originals.values():
                KEPT.forget(original)

    def to_device(self, value: Any) -> Any:
        """Replace CPU results by device tensors; a result that is an argument becomes that very
        argument.
        """
        if isinstance(value, Tensor):
            original = self.originals.get(id(value))
            return original[0] if original is not None else device(value, self.index or 0)
        if isinstance(value, (list, tuple)):
            return type(value)(self.to_device(item) for item in value)
        return value


def run(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """Run ``operator`` for the device: CPU kernel, the arithmetic asked for, then a fault if one is
    set for this operator.

    Raises:
        RuntimeError: tensors of different devices, or a result that the device cannot hold.
        torch.OutOfMemoryError: the memory limit would be exceeded.
    """
    schema = operator._schema
    name, writes = schema.name, schema.is_mutable
    call = _Call(name)
    host_args = [call.to_host(value, writes) for value in args]
    host_kwargs = {key: call.to_host(value, writes) for key, value in kwargs.items()}

    if (
        call.foreign is not None
        and call.originals
        and not (name in _INDEXING and args[0].device.type == "npu")
    ):
        raise _mixed(f"npu:{call.index}", call.foreign, name)
    if writes and call.originals and args:
        target = kwargs.get("out", args[0])
        if isinstance(target, Tensor) and target.device.type != "npu":
            raise _mixed(f"npu:{call.index}", target.device, name)
    call.forget(writes)
    if STATE.before_first is not None:
        STATE.before_first()

    compute = STATE.arithmetic.get(name, plain)
    try:
        result = compute(operator, host_args, host_kwargs)
    except RuntimeError as error:
        result = _again(compute, operator, host_args, host_kwargs, call, error)

    disturbance = STATE.disturbances.get(name)
    if disturbance is not None:
        disturbance(result, host_args)
    if STATE.observer is not None:
        STATE.observer(result, host_args)

    for original, twin in call.fresh:
        if twin.numel() or twin.shape != original.shape:
            adopt(original, device(twin, call.index or 0))

    return call.to_device(result)


def _again(
    compute: Handler,
    operator: Any,
    args: list[Any],
    kwargs: dict[str, Any],
    call: _Call,
    error: RuntimeError,
) -> Any:
    """Run an operator once more where the first failure was one of labels, not of the operator;
    raise ``error`` otherwise.

    Two such failures exist, both before anything is computed: a plain number where the overload
    wants the tensor that torch had unwrapped it from, and an ``out`` tensor of another shape, whose
    borrowed memory cannot be resized.
    """
    text, name = str(error), operator._schema.name
    if isinstance(error, NotImplementedError) and "from the 'CPU' backend" in text:
        raise NotImplementedError(
            f"The rehearsal device cannot run {name}: the CPU has no kernel to borrow; compute it"
            f" on the CPU. {MARK}"
        ) from None
    if "Expected a value of type 'Tensor" in text:
        return getattr(torch.ops.aten, name.removeprefix("aten::"))(*args, **kwargs)
    if "Trying to resize storage that is not resizable" in text and call.originals:
        outputs = [argument.name for argument in operator._schema.arguments if argument.is_out]
        for output in outputs:
            original = call.originals.pop(id(kwargs[output]))[0]
            kwargs[output] = torch.empty(0, dtype=original.dtype)
            call.originals[id(kwargs[output])] = (original, kwargs[output])
            call.fresh.append((original, kwargs[output]))
        if outputs:
            return compute(operator, args, kwargs)

    raise error


def refuse(kind: str, operator: Any, *_args: Any, **_kwargs: Any) -> Any:
    """What every operator on a sparse, quantized or nested device tensor does.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        f"The rehearsal device holds dense tensors only, so it cannot run {operator._schema.name}"
        f" on a tensor of kind {kind}; compute it on the CPU or call to_dense() first. {MARK}"
    )


def adopt(target: Tensor, source: Tensor) -> Tensor:
    """Make ``target`` look at the memory of ``source``, both on the device."""
    set_storage = torch.ops.aten.set_.source_Storage_storage_offset
    adopted: Tensor = set_storage.redispatch(
        CPU_KEYS,
        target,
        source.untyped_storage(),
        source.storage_offset(),
        source.shape,
        source.stride(),
    )
    return adopted


def ordinal(where: torch.device | None) -> int:
    """The index a device argument means.

    Raises:
        RuntimeError: there is no such device.
    """
    index = STATE.current if where is None or where.index is None else where.index
    if not 0 <= index < STATE.devices:
        raise RuntimeError(
            f"Invalid npu device ordinal {index}: the rehearsal device has {STATE.devices} "
            f"device{'s' if STATE.devices > 1 else ''}, numbered from 0. {MARK}"
        )
    return index


def _mixed(first: str, second: torch.device, name: str) -> RuntimeError:
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {first}"
        f" and {second}! (when calling {name}) {MARK}"
    )


def register(library: Library, reserved: Sequence[str]) -> None:
    """Register every operator with a CPU kernel on the device, but those in ``reserved`` and those
    torch already composes.
    """
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for full in torch._C._dispatch_get_registrations_for_dispatch_key("CPU"):
            if (
                not full.startswith("aten::")
                or full in reserved
                or full.startswith(("aten::empty", "aten::is_pinned"))
            ):
                continue
            if has_kernel(full, "CompositeImplicitAutograd") or has_kernel(full, "PrivateUse1"):
                continue
            operator = find(full)
            if operator is not None:
                library.impl(full.removeprefix("aten::"), _implementation(operator), "PrivateUse1")
        aten = torch.ops.aten
        library.impl(
            "convolution_overrideable", partial(run, aten.convolution.default), "PrivateUse1"
        )
        library.impl("convolution_backward_overrideable", _convolution_backward, "PrivateUse1")


def find(full: str) -> Any | None:
    """The operator overload of a dispatcher name such as ``aten::addmm.out``, or None if Python
    cannot reach it.
    """
    name, _, overload = full.removeprefix("aten::").partition(".")
    packet = getattr(torch.ops.aten, name, None)
    return getattr(packet, overload or "default", None)


def _implementation(operator: Any) -> Any:
    name, returns = operator._schema.name, operator._schema.returns
    view = (
        bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write
    )
    if view or name == "aten::set_":
        return partial(operator.redispatch, CPU_KEYS)
    return partial(run, operator)


def _convolution_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    mask: Sequence[bool],
) -> Any:
    biases = [weight.shape[1] * groups if transposed else weight.shape[0]]
    backward = torch.ops.aten.convolution_backward.default

    return run(
        backward,
        gradient,
        inputs,
        weight,
        biases,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        mask,
    )
