"""The arguments of every operator that has a kernel, read from signatures.tsv.

An argument is ``name:letter``. T a tensor, S a scalar, I an array of int64, B of bool, F of float,
L a list of tensors, C a list of scalars (each may be null); O a tensor whose shape the kernel
decides; i int64, u uint64, b bool, e a 32-bit
integer (dtypes too, where it is named dtype), y an 8-bit integer, d double, f float, s a string.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

LETTERS = "TSIBFLCOiubeydfs"


@dataclass(frozen=True)
class Signature:
    """One operator: the names and letters of its arguments, and the public source of them."""

    names: tuple[str, ...]
    letters: str
    source: str


@cache
def signatures() -> dict[str, Signature]:
    """Every signature by the operator's name, ``aclnn`` included."""
    table: dict[str, Signature] = {}
    text = (Path(__file__).parent / "signatures.tsv").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, arguments, source = line.split("\t")
        pairs = [argument.split(":") for argument in arguments.split()]
        letters = "".join(letter for _, letter in pairs)
        table[name] = Signature(tuple(pair[0] for pair in pairs), letters, source)
    return table
