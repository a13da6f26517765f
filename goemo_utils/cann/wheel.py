"""Where the genuine torch_npu is: installed beside torch, or fetched into the cache.

The wheel is never installed into the environment of goemo: with it there, every `import torch`
loads it, and fails where neither CANN nor its stand-ins are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from goemo_utils.cann.build import cache
from goemo_utils.errors import DeviceError, first_line

# a third of the time: byte code of the whole wheel, and a question after newer pips, are not needed
QUICKLY = ("--quiet", "--no-compile", "--disable-pip-version-check")
RELEASES = ("2.13.0",)
"""Releases of torch_npu whose operators have been read and tried on the stand-ins."""


def wanted() -> str:
    """The release that belongs to the installed torch. Raises DeviceError when there is none."""
    torch = metadata.version("torch").partition("+")[0]
    if torch not in RELEASES:
        raise DeviceError(
            f"torch is {torch}, and a simulated CANN was tried with torch_npu {RELEASES[-1]} on"
            f" torch {RELEASES[-1]}. Install that torch, or use rehearsal_engine: pytorch."
        )
    return torch


def site() -> Path:
    """The folder that a fetched wheel is unpacked into."""
    return cache() / f"torch_npu-{wanted()}"


def package() -> Path | None:
    """The torch_npu package: the installed one, else the fetched one, else None."""
    # not find_spec of importlib.util: torch_npu may be hidden from this process
    spec = PathFinder.find_spec("torch_npu")
    if spec is not None and spec.origin:
        return Path(spec.origin).parent
    fetched = site() / "torch_npu"
    return fetched if (fetched / "lib" / "libtorch_npu.so").is_file() else None


def fetch() -> Path:
    """Download the wheel into the cache, once, with pip and without what it depends on.

    Raises DeviceError when pip cannot.
    """
    found = package()
    if found is not None:
        return found

    command = [sys.executable, "-m", "pip", "install", *QUICKLY, "--no-deps", "--target"]
    command += [str(site()), f"torch_npu=={wanted()}"]
    cache().mkdir(parents=True, exist_ok=True)
    # pip unpacks among the temporary files and moves: within one file system that copies nothing
    beside = {**os.environ, "TMPDIR": str(cache())}
    try:
        subprocess.run(command, env=beside, check=True, capture_output=True, text=True, timeout=600)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = first_line(RuntimeError(getattr(error, "stderr", "") or str(error)))
        raise DeviceError(
            f"The wheel torch_npu {wanted()} could not be fetched with pip: {said}. Check the"
            " network or the package index, or use rehearsal_engine: pytorch."
        ) from None

    return site() / "torch_npu"
