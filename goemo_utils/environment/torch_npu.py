"""Keeps an installed torch_npu out of the processes that do not ask for an NPU, and lets it into
those that do.

torch imports an installed torch_npu by itself, and so does transformers; without CANN either import
fails, and with it ends a run on the CPU. So every process of goemo decides before torch is
imported: on cpu, cuda and rehearsal torch_npu does not exist; on npu it is imported by name, where
its failure can be told.
"""

from __future__ import annotations

import importlib.machinery
import mmap
import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from goemo_utils.boundary.regular import read_regular

LONGEST = 64 * 1024  # bytes of a file of parameters that are looked at
ACCESS = mmap.ACCESS_READ
AUTOLOAD = "TORCH_DEVICE_BACKEND_AUTOLOAD"
# Says that the line above is goemo's own, so that the doctor and a worker on an NPU leave it out.
MARKER = "GOEMO_AUTOLOAD"
UNSET = "unset"
LIBRARY = "libhccl.so"
# torch_npu 26.2 and later refuse to run an operator on the CPU where this is 1, read before start.
FORBID = "TORCH_NPU_FALLBACK_CPU_DISABLE"
# What asks for torch_npu once and remembers the answer.
REMEMBERED = (
    ("transformers.utils.import_utils", "is_torch_npu_available"),
    ("accelerate.utils.imports", "is_npu_available"),
)


def for_device(device: str | None) -> None:
    """Prepare this process for ``device``, before torch is imported: let torch_npu in for an npu,
    keep it out for everything else.
    """
    if str(device or "").startswith("npu"):
        let_in()
    else:
        keep_out()


def keep_out() -> None:
    """Hide torch_npu from torch, transformers and this process's children. Where it is loaded
    already, or imitated by the rehearsal device, nothing changes.
    """
    _switch_autoload_off()
    # find_spec then answers None, and an import of it fails as if it were not installed
    sys.modules.setdefault("torch_npu", None)  # type: ignore[arg-type]  # None is documented


def let_in() -> None:
    """Allow ``import torch_npu`` again, by name alone; libraries that looked for it in vain are
    asked again.
    """
    if "torch_npu" not in sys.modules or sys.modules["torch_npu"] is None:
        sys.modules.pop("torch_npu", None)
        _switch_autoload_off()
        forget_absence()


def hide_unusable() -> None:
    """Keep torch_npu out where it is installed and cannot be loaded, because CANN's libraries are
    nowhere that the loader looks. Costs nothing where torch_npu is not installed.
    """
    if "torch" in sys.modules or "torch_npu" in sys.modules or not _installed():
        return
    if not _library_reachable():
        keep_out()


def forget_absence() -> None:
    """Let transformers and accelerate look for torch_npu again, in whatever order things were
    imported.
    """
    for module, function in REMEMBERED:
        cached: Any = getattr(sys.modules.get(module), function, None)
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def asked_for(arguments: Iterable[str]) -> str | None:
    """The device that a command line names: ``--device npu:0``, ``-p device npu:0`` or a file of
    parameters behind ``-f``; None where it names none. The last one given wins, and the command
    line wins over a file.
    """
    words = list(arguments)
    named, in_file = None, None
    for place, word in enumerate(words):
        following = words[place + 1] if place + 1 < len(words) else None
        if word.startswith("--device="):
            named = word.partition("=")[2]
        elif word in ("--device", "device"):
            named = following
        elif word in ("-f", "--file") and following:
            in_file = _device_of(Path(following))

    return named or in_file


def original(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` as it was before goemo switched torch's autoload off."""
    before = environ.get(MARKER)
    if before is None:
        return dict(environ)

    kept = {name: value for name, value in environ.items() if name not in (MARKER, AUTOLOAD)}
    return kept if before == UNSET else {**kept, AUTOLOAD: before}


def for_an_npu(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker on a real NPU: torch's autoload as the user left it, and the CPU
    forbidden where the installed torch_npu can forbid it. What the user set stays.
    """
    given = original(environ)
    return {FORBID: "1", **given} if can_forbid_cpu() else given


def fallback_proof(environ: Mapping[str, str]) -> str:
    """What shows that no operator of a run on an NPU ran on the CPU: "refused by the runtime", or
    only "no warning was seen".
    """
    forbidden = environ.get(FORBID) == "1" and can_forbid_cpu()
    return "refused by the runtime" if forbidden else "no warning was seen"


def can_forbid_cpu() -> bool:
    """Whether the installed torch_npu knows FORBID, by the text of its library."""
    spec = importlib.machinery.PathFinder.find_spec("torch_npu")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        library = Path(folder) / "lib" / "libtorch_npu.so"
        try:
            with open(library, "rb") as file, mmap.mmap(file.fileno(), 0, access=ACCESS) as text:
                return text.find(FORBID.encode()) >= 0
        except (OSError, ValueError):  # no such file, or an empty one
            continue
    return False


def _switch_autoload_off() -> None:
    os.environ.setdefault(MARKER, os.environ.get(AUTOLOAD, UNSET))
    os.environ[AUTOLOAD] = "0"


def _installed() -> bool:
    return importlib.machinery.PathFinder.find_spec("torch_npu") is not None


def _library_reachable() -> bool:
    """Whether the loader could find CANN: its libraries on LD_LIBRARY_PATH, or named in the
    loader's own cache.
    """
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if any(folder and os.path.exists(os.path.join(folder, LIBRARY)) for folder in folders):
        return True
    try:
        return LIBRARY.encode() in Path("/etc/ld.so.cache").read_bytes()
    except OSError:
        return False


def _device_of(file: Path) -> str | None:
    """The device in a file of parameters, by its text: whoever loads the file checks it."""
    try:
        text = read_regular(file, LONGEST).decode("utf-8", "replace")
    except OSError:
        return None
    match = re.search(r"^device\s*:\s*['\"]?([\w:]+)", text, re.MULTILINE)
    return match[1] if match else None
