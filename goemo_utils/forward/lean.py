"""Import transformers without what a classifier never uses: half the time of a cold start.

transformers 5 imports scikit-learn (with pandas) for one function of assisted generation, scipy for
the losses of object detection, opentelemetry for serving, by way of httpx the colours of a command
line, and torch's compiler for three decorators and one context manager; and it asks which
distribution holds each package on the machine, to look up a few; and it reads the source of all its
models twice, to learn what they hold. Nothing on disk is changed: while transformers is imported,
these packages are not found, ``torch._dynamo`` is a stand-in, distributions are looked up one by
one and models read once; afterwards all can be imported as ever. For processes that
are goemo's own, such as the command line and the workers: there transformers goes on believing that
these packages are absent.
"""

import gc
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

DYNAMO = "torch._dynamo"
WRAPPED = "torch._dynamo._trace_wrapped_higher_order_op"
ANSWERS = "transformers.utils.import_utils"
ABSENT = ("sklearn", "scipy", "opentelemetry")
"""Packages that transformers uses where it finds them."""

UNDRESSED = ("rich",)
"""Packages that httpx, which transformers imports, uses for a command of its own."""

SHARED = ("flash_attn", "flash_attn_interface")
"""Packages that distributions of several names hold, which transformers tells apart."""

FORMATS = ("rfc3987_syntax", "isoduration")
"""Packages by which jsonschema, which nbformat imports, checks addresses and spans of time: the
first compiles a grammar for a second. A notebook holds neither.
"""

NOT_NEEDED = (*ABSENT, *UNDRESSED, "pandas", DYNAMO, "torch._inductor", "sympy")
"""What need not be imported to classify a text."""


MODULES = (
    "transformers.modeling_utils",
    "transformers.masking_utils",
    "transformers.generation.utils",
    "transformers.modeling_layers",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
)
"""What every model needs; the module of one family needs little beside."""


def import_transformers() -> None:
    """Import what models need of transformers, and nothing that they do not."""
    with uncollected(), lean():
        for name in MODULES:
            import_module(name)


@contextmanager
def lean() -> Iterator[None]:
    """Within this context, import what needs transformers, and nothing else: what asks for a part
    of the compiler by its full name would not find it. What is loaded already stays loaded, a
    torch_npu too; where transformers would load one, which needs all of it, everything is imported
    as ever.
    """
    import torch

    if _torch_npu_comes():
        yield
        return

    # where transformers has looked for them already it would miss what it was promised
    asked = ANSWERS in sys.modules
    names = () if asked else (*ABSENT, *UNDRESSED)
    compiler = None if DYNAMO in sys.modules else _Compiler(torch)
    try:
        with hidden(*names), _one_by_one(), _scanned_once():
            yield
    finally:
        if compiler is not None:
            compiler.leave()


@contextmanager
def hidden(*names: str) -> Iterator[None]:
    """Within this context these packages are not found, as if they were not installed; afterwards
    they can be imported as ever. What is loaded already stays loaded.
    """
    absent = [name for name in names if name not in sys.modules]
    for name in absent:
        # find_spec answers None for it, as for a package that is not installed.
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system expects
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)


@contextmanager
def uncollected() -> Iterator[None]:
    """Within this context no garbage is looked for, and afterwards not among what was made in it:
    modules stay, and collecting among them is a tenth of the time that importing takes.
    """
    was_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_collecting:
            gc.enable()


@contextmanager
def _one_by_one() -> Iterator[None]:
    """Within this context ``importlib.metadata.packages_distributions`` reads no more than it is
    asked for: transformers has it read the files of every distribution, and looks up a few.
    """
    whole = metadata.packages_distributions
    metadata.packages_distributions = lambda: _Distributions(whole)
    try:
        yield
    finally:
        metadata.packages_distributions = whole


@contextmanager
def _scanned_once() -> Iterator[None]:
    """Within this context what transformers' models hold, which the package itself has asked for,
    is not asked once more by its part ``models``, under another name.
    """
    import transformers

    tools: Any = import_module(ANSWERS)
    whole = tools.define_import_structure
    part = "models"
    folder = Path(str(transformers.__file__)).parent / part

    def known(path: Any, prefix: str | None = None) -> Any:
        if prefix is not None or Path(path).parent != folder:
            return whole(path, prefix)
        held = whole(folder, prefix=part)
        begins = f"{part}."
        return {
            needed: {n.removeprefix(begins): v for n, v in names.items() if n.startswith(begins)}
            for needed, names in held.items()
        }

    tools.define_import_structure = known
    try:
        yield
    finally:
        tools.define_import_structure = whole


class _Distributions(dict[str, list[str]]):
    """The distributions that hold a package: the one of its own name, else whatever ``whole``
    finds, which is asked once.
    """

    def __init__(self, whole: Callable[[], Mapping[str, list[str]]]) -> None:
        super().__init__()
        self._whole: Callable[[], Mapping[str, list[str]]] = lru_cache(whole)

    def __missing__(self, package: str) -> list[str]:
        try:
            if package in SHARED:
                raise metadata.PackageNotFoundError
            self[package] = [metadata.metadata(package)["Name"]]
        except metadata.PackageNotFoundError:
            self[package] = self._whole()[package]
        return self[package]


def _torch_npu_comes() -> bool:
    """Whether transformers would import torch_npu: it is installed, not kept out, and not there
    yet.
    """
    return "torch_npu" not in sys.modules and find_spec("torch_npu") is not None


class _Compiler(types.ModuleType):
    """Stands for ``torch._dynamo`` while modules are imported that only mark functions for it.

    ``assume_constant_result`` marks as the real one does; what ``allow_in_graph`` and ``disable``
    would mark (kernels of mixtures of experts and of paged attention) a later ``torch.compile`` of
    this process looks into. Any other attribute brings the real module.
    """

    def __init__(self, torch: types.ModuleType) -> None:
        super().__init__(DYNAMO)
        self.__path__: list[str] = []
        self._torch = torch
        wrapped: Any = types.ModuleType(WRAPPED)
        wrapped.TransformGetItemToIndex = _GetItemToIndex
        self._standing = {DYNAMO: self, WRAPPED: wrapped}
        sys.modules.update(self._standing)
        setattr(torch, "_dynamo", self)  # noqa: B010  # no attribute that torch declares

    @staticmethod
    def assume_constant_result(function: Any) -> Any:
        """Mark ``function`` as the real decorator does."""
        function._dynamo_marked_constant = True
        return function

    @staticmethod
    def allow_in_graph(function: Any) -> Any:
        """Give ``function`` back."""
        return function

    @staticmethod
    def disable(function: Any = None, *_options: Any, **_more: Any) -> Any:
        """Give ``function`` back, or a decorator that does."""
        return _unchanged if function is None else function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(import_module(DYNAMO), name)

    def leave(self) -> None:
        """Make room for the real module."""
        for name, module in self._standing.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        if vars(self._torch).get("_dynamo") is self:
            delattr(self._torch, "_dynamo")


def _unchanged(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


class _GetItemToIndex:
    """The real context manager, fetched when it is entered."""

    def __enter__(self) -> Any:
        self._real = import_module(WRAPPED).TransformGetItemToIndex()
        return self._real.__enter__()

    def __exit__(self, *exception: Any) -> Any:
        return self._real.__exit__(*exception)


def undrawn() -> Any:
    """A context in which weights without memory (on torch's ``meta`` device) are not drawn.

    transformers builds a model there before it reads the weights; drawing and counting numbers that
    have no place changes nothing, and costs an import of sympy.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    meta = torch.device("meta")

    class Undrawn(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            options = kwargs or {}
            if getattr(func, "__module__", None) == "torch.nn.init":
                weights = args[0] if args else options["tensor"]
                if weights.is_meta:
                    return weights

            whole = bool(args) and all(type(number) is int for number in args)
            if func is torch.arange and whole and options == {"device": meta}:
                return torch.empty(len(range(*args)), dtype=torch.int64, device=meta)
            if func is torch.empty_like and args[0].is_meta and set(options) <= {"dtype", "device"}:
                like = {"dtype": args[0].dtype, "device": meta, **options}
                return torch.empty(args[0].shape, **like)

            return func(*args, **options)

    return Undrawn()
