"""Installed Python packages, read from their metadata: nothing is imported."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

from goemo_utils.environment.machine import Machine

NAMES = (
    "torch", "torch-npu", "transformers", "tokenizers", "safetensors", "numpy", "pydantic",
    "huggingface-hub", "accelerate", "papermill", "nbclient",
    "nbconvert", "ipykernel", "jupyterlab", "pandas", "pyarrow", "matplotlib", "seaborn", "jinja2",
    "tqdm", "protobuf", "decorator", "sympy", "cffi", "attrs",
    "cython", "pyyaml", "pathlib2", "scipy", "requests", "psutil", "absl-py", "goemo",
)  # fmt: skip


def installed(machine: Machine, name: str) -> metadata.Distribution | None:
    """The distribution that an import would find: the first on the path."""
    return next(iter(metadata.Distribution.discover(name=name, path=list(machine.sys_path))), None)


def read_packages(machine: Machine) -> dict[str, str]:
    """{name: version} of the packages that goemo, torch_npu or CANN need and that are installed."""
    versions = {}
    for name in NAMES:
        distribution = installed(machine, name)
        if distribution is not None and distribution.version:
            versions[name] = distribution.version
    return versions


def read_torch(machine: Machine) -> dict[str, Any]:
    """{"version", "build", "cuda"} of torch from its metadata and its version.py; build is cpu |
    cuda | rocm | None (torch is absent).
    """
    distribution = installed(machine, "torch")
    if distribution is None:
        return {"version": None, "build": None, "cuda": None}

    text = _text(distribution, "torch/version.py")
    version = _assigned(text, "__version__") or distribution.version
    cuda, hip = _assigned(text, "cuda"), _assigned(text, "hip")
    build = "cpu"

    if cuda or "+cu" in version:
        build = "cuda"
    elif hip or "+rocm" in version:
        build = "rocm"

    return {"version": version, "build": build, "cuda": cuda}


def read_torch_npu(machine: Machine) -> dict[str, Any]:
    """{"version", "requires", "autoload", "shadow"} of torch_npu, from its metadata.

    ``requires`` is its requirement on torch, ``autoload`` whether torch imports it by itself,
    ``shadow`` a directory of the same name that hides it.
    """
    distribution = installed(machine, "torch-npu")
    if distribution is None:
        return {"version": None, "requires": None, "autoload": False, "shadow": None}

    requires = next(
        (line for line in distribution.requires or [] if re.match(r"torch\s*[=<>!~(]", line)), None
    )
    autoload = any(entry.group == "torch.backends" for entry in distribution.entry_points)
    home = Path(str(distribution.locate_file("torch_npu")))
    shadow = machine.cwd / "torch_npu"
    hidden = shadow.is_dir() and shadow.resolve() != home.resolve()

    return {
        "version": distribution.version,
        "requires": requires,
        "autoload": autoload,
        "shadow": str(shadow) if hidden else None,
    }


def _text(distribution: metadata.Distribution, path: str) -> str:
    try:
        return Path(str(distribution.locate_file(path))).read_text(
            encoding="utf-8", errors="replace"
        )
    except OSError:
        return ""


def _assigned(text: str, name: str) -> str | None:
    """The string that a version.py assigns to ``name``; None when it assigns None or nothing."""
    match = re.search(rf"^{name}\s*(?::[^=\n]*)?=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return match.group(1) if match else None
