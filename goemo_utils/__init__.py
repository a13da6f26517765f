"""goemo ports a Hugging Face text classifier to an Ascend NPU and proves the port."""

from __future__ import annotations

import importlib
import os
import signal
import sys

TYPE_CHECKING = False  # as typing's own, without importing it: whoever checks types knows the name
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def _leave(number: int, frame: object) -> None:
    os.write(2, b"goemo: interrupted.\n")
    os._exit(3)


# The command itself, from its script or by `python -m`, ends cleanly by Ctrl-C from here on: all
# that comes later, the imports below too, may take a while. cli.main takes over.
_by_script = os.path.basename(sys.argv[0] if sys.argv else "") == "goemo"
_by_name = sys.argv[:1] == ["-m"] and "goemo_utils.cli" in sys.orig_argv
if (_by_script or _by_name) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)

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
            return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__


__getattr__ = on_first_use(__name__, {"GoEmotionsClassifier": "classifier.classifier"})

# After the names above, which the room imports: torch_npu without CANN must not stop `import torch`
# in a program that imports this package first.
importlib.import_module("goemo_utils.environment.torch_npu").hide_unusable()
