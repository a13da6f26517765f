"""Putting the stand-ins under torch_npu: in this process, or in the environment of another.

Whether CANN is simulated is never taken from a setting: a loaded library or a library on the search
path is asked for a symbol that only the stand-ins have.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from goemo_utils.cann import build, wheel
from goemo_utils.errors import DeviceError

SYMBOL = "goemo_simulated_cann"
NAME = "SIMULATED CANN"
_LIBRARIES = ("ascendcl", "opapi", *build.STAND_INS)
_CARDS = ("dev/davinci_manager", "dev/davinci0", "dev/hisi_hdc")
_INSTALLED = ("usr/local/Ascend/ascend-toolkit", "usr/local/Ascend/cann")


def simulates(device: str) -> bool:
    """Whether a run on ``device`` is computed by something simulated: the rehearsal device, or an
    npu under which the stand-ins are. Imports no torch.
    """
    name = device.partition(":")[0]
    return name == "rehearsal" or (name == "npu" and (is_loaded() or stands_in()))


def is_loaded() -> bool:
    """Whether the CANN of this process is a simulated one."""
    try:
        library = ctypes.CDLL("libascendcl.so", mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return hasattr(library, SYMBOL)


def stands_in(variables: Mapping[str, str] = os.environ) -> bool:
    """Whether a process with these environment variables would load the stand-ins."""
    for folder in variables.get("LD_LIBRARY_PATH", "").split(":"):
        library = Path(folder) / "libascendcl.so"
        if folder and library.is_file():
            return SYMBOL.encode() in library.read_bytes()
    return False


def refuse_where_real(variables: Mapping[str, str] = os.environ, root: Path = Path("/")) -> None:
    """Raise DeviceError when this machine has a card or a CANN of its own: there the stand-ins
    would hide the real thing.
    """
    home = Path(variables.get("ASCEND_HOME_PATH") or root / "nowhere")
    signs = [root / name for name in (*_CARDS, *_INSTALLED)]
    signs += [home / "lib64" / "libascendcl.so"]
    present = [sign for sign in signs if sign.exists()]
    if present:
        raise DeviceError(
            f"A simulated CANN was asked for and this machine has a real one ({present[0]}). It"
            " would hide what the machine can do. Use device: npu:0, or rehearsal_engine: pytorch."
        )


def environment(variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of a process in which torch_npu finds the stand-ins.

    Raises DeviceError when the machine has a real CANN, torch_npu is not there, or the stand-ins
    cannot be built.
    """
    refuse_where_real(variables)
    package = _package()
    folder = build.folder(package)
    here = str(Path(__file__).parents[2])
    found = {
        "ASCEND_HOME_PATH": str(folder / "home"),
        "ASCEND_OPP_PATH": str(folder / "home" / "opp"),
        "GOEMO_CANN_PACKAGE": here,
        "LD_LIBRARY_PATH": _first(str(folder), variables.get("LD_LIBRARY_PATH")),
    }
    if package.parent == wheel.site():
        found["PYTHONPATH"] = _first(str(package.parent), variables.get("PYTHONPATH"))

    return {**variables, **found}


def enable() -> None:
    """Give this process the stand-ins, before torch_npu is imported; repeating it is harmless.

    Raises DeviceError as ``environment`` does, or when torch_npu is already on a CANN of its own.
    """
    if is_loaded():
        return
    if sys.modules.get("torch_npu") is not None:
        raise DeviceError(
            "A simulated CANN was asked for and torch_npu is already imported in this process."
            " Start a new process (in a notebook: restart the kernel)."
        )
    changed = environment()
    folder = Path(changed["LD_LIBRARY_PATH"].partition(":")[0])
    os.environ.update(changed)
    site = str(wheel.site())
    if changed.get("PYTHONPATH", "").startswith(site) and site not in sys.path:
        sys.path.insert(0, site)

    # the loader has read LD_LIBRARY_PATH long ago: loaded by path, they are found by name
    for name in _LIBRARIES:
        ctypes.CDLL(str(folder / f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)


def _package() -> Path:
    package = wheel.package()
    if package is None:
        raise DeviceError(
            f"A simulated CANN needs the wheel torch_npu {wheel.wanted()}, which is not there."
            " Fetch it once with: goemo cann --fetch"
        )
    return package


def _first(folder: str, rest: str | None) -> str:
    others = [one for one in (rest or "").split(":") if one and one != folder]
    return ":".join([folder, *others])
