"""Whose symbol is missing: the first name inside a mangled C++ symbol is its owner's."""

from __future__ import annotations

import re

# First name of a mangled symbol, or the beginning of a plain one, and who owns it.
OWNERS = {
    "Mki": "NNAL/ATB",
    "atb": "NNAL/ATB",
    "AsdOps": "NNAL/ATB",
    "AsdSip": "NNAL/ATB",
    "ge": "CANN's graph engine",
    "ErrorManager": "CANN's error manager",
    "hccl": "CANN's communication library",
    "Hccl": "CANN's communication library",
    "acl": "CANN's ACL",
    "rt": "CANN's runtime",
    "c10_npu": "torch_npu",
    "at_npu": "torch_npu",
    "torch_npu": "torch_npu",
    "c10d_npu": "torch_npu",
    "c10": "torch",
    "c10d": "torch",
    "at": "torch",
    "torch": "torch",
    "caffe2": "torch",
}
SYMBOL = re.compile(r"undefined symbol: (\w+)")


def owner(text: str) -> str | None:
    """The owner of the first undefined symbol in ``text``, or None where it cannot be told."""
    match = SYMBOL.search(text)
    if match is None:
        return None

    name = _first_name(match[1])
    if name in OWNERS:
        return OWNERS[name]

    plain = re.match(r"(Hccl|acl|rt)(?=[A-Z])", name)
    return OWNERS[plain[1]] if plain else None


def _first_name(symbol: str) -> str:
    """``Mki`` of ``_ZN3Mki2DlC1E…``; a plain C symbol as it is."""
    match = re.match(r"_Z(?:T[VISTh]\w?)?N?[KVr]*(\d+)", symbol)
    if match is None:
        return symbol

    length = int(match[1])
    return symbol[match.end() : match.end() + length]
