"""The Ascend driver, the cards it shows and the device nodes that give access to them."""

from __future__ import annotations

import os
import re
import stat
from typing import Any

from goemo_utils.environment import smi
from goemo_utils.environment.machine import Machine

SHARED_NODES = ("/dev/davinci_manager", "/dev/devmm_svm", "/dev/hisi_hdc")
GROUP = "HwHiAiUser"
SMI_PLACES = ("/usr/local/bin/npu-smi", "/usr/local/sbin/npu-smi", "/usr/bin/npu-smi")
SMI_TIMEOUT = 10.0


def read_driver(machine: Machine) -> dict[str, Any]:
    """{"installed", "version", "firmware", "library"}: versions from the files of the driver, and
    whether its library directory is there.
    """
    return {
        "installed": machine.exists("/usr/local/Ascend/driver"),
        "version": _version(machine.read("/usr/local/Ascend/driver/version.info")),
        "firmware": _version(machine.read("/usr/local/Ascend/firmware/version.info")),
        "library": bool(machine.glob("/usr/local/Ascend/driver/lib64/**/libascend_hal.so")),
    }


def read_nodes(machine: Machine) -> list[dict[str, Any]]:
    """[{"path", "present", "usable", "mode", "group"}]: /dev/davinciN, and the three nodes that
    every card needs when there is any card.
    """
    cards = [
        path for path in machine.glob("/dev/davinci*") if re.fullmatch(r"/dev/davinci\d+", path)
    ]
    cards.sort(key=lambda path: int(path[len("/dev/davinci") :]))
    shared = [path for path in SHARED_NODES if cards or machine.exists(path)]
    return [_node(machine, path) for path in (*cards, *(SHARED_NODES if shared else ()))]


def in_group(machine: Machine) -> bool | None:
    """Whether this process is in the driver's group; None where the group does not exist."""
    for line in (machine.read("/etc/group") or "").splitlines():
        fields = line.split(":")
        if fields[0] == GROUP and len(fields) > 2 and fields[2].isdigit():
            return int(fields[2]) in machine.groups
    return None


def find_smi(machine: Machine) -> str | None:
    """Where npu-smi is, as an absolute path of the machine."""
    places = [
        os.path.join(folder, "npu-smi")
        for folder in machine.environ.get("PATH", "").split(os.pathsep)
        if folder.startswith("/")
    ]
    return next((place for place in (*places, *SMI_PLACES) if machine.exists(place)), None)


def read_smi(machine: Machine) -> dict[str, Any]:
    """{"text", "error", "version", "devices", "processes"}: ``text`` is verbatim; ``error`` says
    why there is no table, or is None.

    Two words are reserved: "absent" there is no npu-smi, "layout" it printed a table that the
    parser does not know.
    """
    place = find_smi(machine)
    empty: dict[str, Any] = {
        "text": None,
        "error": None,
        "version": None,
        "devices": [],
        "processes": [],
    }
    if place is None:
        return {**empty, "error": "absent"}

    output = machine.command([place, "info"], SMI_TIMEOUT)
    text = (output.out + output.err).strip()
    if output.timed_out:
        return {
            **empty,
            "text": text,
            "error": f"npu-smi info gave no answer within {SMI_TIMEOUT:g} s",
        }

    parsed = smi.parse(output.out)
    if parsed["version"] and output.ok and not parsed["devices"]:
        return {**parsed, "text": text, "error": "layout"}

    error = (
        None
        if parsed["devices"]
        else text or f"npu-smi info ended with exit code {output.rc} and said nothing"
    )

    return {**parsed, "text": text, "error": error}


def _node(machine: Machine, path: str) -> dict[str, Any]:
    try:
        info = os.stat(machine.path(path))
    except OSError:
        return {"path": path, "present": False, "usable": False, "mode": None, "group": None}

    mode = info.st_mode
    if machine.uid == 0:
        usable = True
    elif info.st_uid == machine.uid:
        usable = mode & 0o600 == 0o600
    elif info.st_gid in machine.groups:
        usable = mode & 0o060 == 0o060
    else:
        usable = mode & 0o006 == 0o006

    return {
        "path": path,
        "present": True,
        "usable": usable,
        "mode": stat.filemode(mode),
        "group": info.st_gid,
    }


def _version(text: str | None) -> str | None:
    match = re.search(r"^Version\s*=\s*(\S+)", text or "", re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else None
