"""Finds CANN: its toolkit and ops packages, in the layout before 8.5 (ascend-toolkit) and since
(cann), and whether it is sourced here.
"""

from __future__ import annotations

import os
import re
from typing import Any

from goemo_utils.environment.machine import Machine

# (glob of the root of an installation, the set_env.sh that belongs to it)
PLACES = (
    ("/usr/local/Ascend/cann", "/usr/local/Ascend/cann/set_env.sh"),
    ("/usr/local/Ascend/cann-*", "{root}/set_env.sh"),
    ("/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/ascend-toolkit/set_env.sh"),
    ("{home}/Ascend/cann", "{home}/Ascend/cann/set_env.sh"),
    ("{home}/Ascend/ascend-toolkit/latest", "{home}/Ascend/ascend-toolkit/set_env.sh"),
)
LIBRARIES = ("libhccl.so", "libascendcl.so")
STAND_IN = "goemo_simulated_cann"
"""A symbol that only goemo's stand-ins for CANN have: the doctor must know them without torch."""


def read_cann(machine: Machine) -> dict[str, Any]:
    """What is installed and what this process would use.

    {"installations": [{"root", "layout", "toolkit", "ops", "kernels", "set_env"}], "active": the
    one that ASCEND_HOME_PATH names, or the first found, or None, "sourced": whether
    ASCEND_HOME_PATH is set, "home": its value, "opp_exists": whether ASCEND_OPP_PATH leads
    somewhere, "missing_libraries": names that no directory of LD_LIBRARY_PATH holds, "simulated":
    the directory of LD_LIBRARY_PATH whose CANN is goemo's SIMULATED one, or None}.
    """
    home = machine.environ.get("ASCEND_HOME_PATH") or machine.environ.get("ASCEND_TOOLKIT_HOME")
    read = [_read(machine, root, set_env) for root, set_env in _roots(machine)]
    installations = [one for one in read if one]
    active = _active(machine, home, installations)

    return {
        "installations": installations,
        "active": active,
        "sourced": home is not None,
        "home": home,
        "opp_exists": machine.exists(machine.environ.get("ASCEND_OPP_PATH", "/nowhere")),
        "missing_libraries": [name for name in LIBRARIES if not _on_library_path(machine, name)],
        "simulated": _stand_ins(machine),
    }


def _roots(machine: Machine) -> list[tuple[str, str]]:
    user = machine.environ.get("HOME", "/")
    found: dict[str, tuple[str, str]] = {}
    for pattern, set_env in PLACES:
        for root in machine.glob(pattern.format(home=user, root="")):
            real = os.path.realpath(machine.path(root))
            found.setdefault(real, (root, set_env.format(home=user, root=root)))
    return list(found.values())


def _active(
    machine: Machine, home: str | None, installations: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The installation that the environment names; without a name, the first found. None when the
    name leads nowhere.
    """
    if home is None:
        return installations[0] if installations else None
    real = os.path.realpath(machine.path(home))
    known = next(
        (one for one in installations if os.path.realpath(machine.path(one["root"])) == real), None
    )
    return known or _read(machine, home, f"{home}/set_env.sh")


def _read(machine: Machine, root: str, set_env: str) -> dict[str, Any] | None:
    """One installation, or None where neither the toolkit nor a version can be read."""
    toolkit = _version(
        machine, f"{root}/*-linux/ascend_toolkit_install.info", f"{root}/version.cfg"
    )
    if toolkit is None:
        return None

    # Since 8.5 the kernels are the "ops" package; before, they were the "kernels" package below
    # opp_kernel.
    ops = _version(
        machine, f"{root}/*-linux/ascend_ops_install.info", f"{root}/opp_kernel/version.info"
    )
    layout = "since 8.5" if "ascend-toolkit" not in root else "before 8.5"
    return {
        "root": root,
        "layout": layout,
        "toolkit": toolkit,
        "ops": ops,
        "kernels": _kernels(machine, root),
        "set_env": set_env if machine.exists(set_env) else None,
    }


def _kernels(machine: Machine, root: str) -> list[str]:
    """The chips that the installed ops package has kernels for, by the names of their folders."""
    pattern = f"{root}/opp/built-in/op_impl/ai_core/tbe/kernel/ascend*"
    return [path.rsplit("/", 1)[1] for path in machine.glob(pattern)]


def _version(machine: Machine, *patterns: str) -> str | None:
    for pattern in patterns:
        for path in machine.glob(pattern):
            # Files say "version_dir=8.3.RC1", "version=8.5.0" or
            # "toolkit_running_version=[7.8.0.1.231:8.3.RC1]"; the last word of each is the release.
            text = machine.read(path) or ""
            match = re.search(r"version_dir\s*=\s*([\w.]+)", text) or re.search(
                r"version\s*=\s*\[?(?:[\w.]+:)?([\w.]+)", text, re.IGNORECASE
            )
            if match:
                return match.group(1)
    return None


def _library_path(machine: Machine) -> list[str]:
    folders = machine.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    return [folder for folder in folders if folder.startswith("/")]


def _on_library_path(machine: Machine, name: str) -> bool:
    return any(machine.exists(f"{folder}/{name}") for folder in _library_path(machine))


def _stand_ins(machine: Machine) -> str | None:
    """The first libascendcl.so is the one that is loaded."""
    for folder in _library_path(machine):
        library = machine.read(f"{folder}/libascendcl.so")
        if library is not None:
            return folder if STAND_IN in library else None
    return None
