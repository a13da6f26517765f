"""Where a forward of the attached model is: the path of the module that runs, the size of the
batch, and how many forwards there have been.
"""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from goemo_utils.errors import DeviceError
from goemo_utils.rehearsal.grammar import ALWAYS, Fault

hits: Counter[str] = Counter()
"""How often each fault fired, by its text."""


@dataclass(frozen=True)
class Size:
    """Texts and tokens (padding included) of a batch."""

    texts: int
    tokens: int


def size_of(tensor: Tensor) -> Size | None:
    """The size that a tensor ``[batch, tokens, width]`` or ``[batch, heads, tokens, keys]`` shows;
    None for fewer axes.
    """
    if tensor.dim() < 3:
        return None
    return Size(tensor.shape[0], tensor.shape[1] if tensor.dim() == 3 else tensor.shape[-2])


class Tracker:
    """Knows the path of the module whose forward is running, by hooks on one model, and which paths
    a fault means.
    """

    def __init__(self) -> None:
        self.path: list[str] = [""]
        self.targets: dict[str, str] = {}
        self.handles: list[Any] = []
        self.watching = False
        self.size: Size | None = None
        self.shown: Size | None = None
        self.forwards = 0
        self.singles: Counter[str] = Counter()

    def follow(self, model: nn.Module, faults: Iterable[Fault]) -> None:
        """Follow ``model`` instead of any model before, and resolve the modules that ``faults``
        name.

        Raises:
            DeviceError: a fault names no module of the model, or its end of a path fits several.
        """
        faults = [fault for fault in faults if not fault.kind.startswith("weights")]
        names = [name for name, _ in model.named_modules() if name]
        targets = {fault.module: resolve(fault, names) for fault in faults if fault.module}

        for handle in self.handles:
            handle.remove()

        self.path, self.targets, self.handles = [""], targets, []
        self.size, self.forwards = None, 0
        self.singles.clear()
        self.watching = False
        if targets:
            self.watch(model)
        if any(fault.occasion != ALWAYS for fault in faults):
            self._count(model)

    def watch(self, model: nn.Module) -> None:
        """Follow the path of the running module, if that is not done already."""
        if not self.watching:
            self.watching = True
            for name, module in model.named_modules():
                self._hook(name, module)

    def _hook(self, name: str, module: nn.Module) -> None:
        def enter(_module: nn.Module, _args: Any) -> None:
            self.path.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            self.path.pop()

        self.handles.append(module.register_forward_pre_hook(enter))
        self.handles.append(module.register_forward_hook(leave, always_call=True))

    def _count(self, model: nn.Module) -> None:
        """Note the size of each batch that enters ``model``: ids ``[batch, tokens]`` or embeddings
        ``[batch, tokens, width]``.
        """

        def enter(_module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            given = (value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
            first = next((tensor for tensor in given if tensor.dim() > 1), None)
            if first is None or first.device.type != "npu":
                return
            self.size = Size(first.shape[0], first.shape[1])
            self.forwards += 1

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            self.size = None

        self.handles.append(model.register_forward_pre_hook(enter, with_kwargs=True))
        self.handles.append(model.register_forward_hook(leave, always_call=True))

    def inside(self, fault: Fault) -> bool:
        """Whether the operator that runs now belongs to the module of ``fault`` itself or to one
        inside it.
        """
        return fault.module is None or self.within(fault, self.path[-1])

    def within(self, fault: Fault, path: str) -> bool:
        """Whether ``path`` is the module of ``fault``, if it names one, or inside it."""
        if fault.module is None:
            return True
        target = self.targets.get(fault.module)
        return target is not None and (path == target or path.startswith(target + "."))

    def is_time(self, fault: Fault, shown: Tensor | None = None) -> bool:
        """Whether the occasion of ``fault`` is now.

        In a forward of the attached model its batch counts, and the number of the forward; outside,
        where one operator is tried alone, the batch that it was said to come from (``self.shown``),
        else the size that its output ``shown`` has, and the number of such calls.
        """
        when = fault.occasion
        if when == ALWAYS:
            return True

        size, count = self.size, self.forwards
        if size is None:
            self.singles[fault.text] += 1
            count = self.singles[fault.text]
            size = self.shown or (None if shown is None else size_of(shown))
        if count % when.once_in:
            return False
        if when.beyond == 0 and when.least == 0 and when.most == ALWAYS.most:
            return True

        return (
            size is not None and size.tokens > when.beyond and when.least <= size.texts <= when.most
        )


TRACKER = Tracker()


def resolve(fault: Fault, names: Sequence[str], what: str = "module") -> str:
    """The one name of ``names`` that ``fault.module`` means, whole or by its end.

    Raises:
        DeviceError: none fits, or several do.
    """
    wanted = fault.module or ""
    if wanted in names:
        return wanted

    fitting = [name for name in names if name.endswith("." + wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise DeviceError(
            f"The fault {fault.text!r} names the {what} {wanted!r}, which fits {len(fitting)}"
            f" {what}s, for example {', '.join(fitting[:3])}; give more of the path."
        )

    raise DeviceError(
        f"The fault {fault.text!r} names the {what} {wanted!r}, which the model does not have;"
        f" {near(wanted, names)}."
    )


def near(wanted: str, names: Iterable[str]) -> str:
    """Up to four names like ``wanted``, or some of all, as the end of a sentence."""
    pool = sorted(set(names))
    alike = difflib.get_close_matches(wanted, pool, n=4, cutoff=0.5)
    last = wanted.rpartition(".")[2].lower()
    alike += [name for name in pool if last and last in name.lower() and name not in alike]
    if alike:
        return f"near names: {', '.join(alike[:4])}"
    return f"expected one of {len(pool)} names, for example {', '.join(pool[:4])}"
