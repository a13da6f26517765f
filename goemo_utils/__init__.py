"""goemo ports a Hugging Face text classifier to an Ascend NPU and proves the port."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["GoEmotionsClassifier", "on_first_use"]


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` (PEP 562) for a room: each name comes from its module when it is first
    asked for.

    So a room hands out its public names without importing torch, or anything else, before it is
    needed. ``homes`` maps each name to the module, below ``package``, that defines it.
    """

    def __getattr__(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


__getattr__ = on_first_use(__name__, {"GoEmotionsClassifier": "classifier.classifier"})

# After the names above, which the room imports: torch_npu without CANN must not stop `import torch`
# in a program that imports this package first.
import_module("goemo_utils.environment.torch_npu").hide_unusable()
