"""What a shared library asks of others, read from the file itself: no binutils are needed.

Only 64-bit little-endian ELF is read, which is what every torch_npu wheel holds (x86-64 and
aarch64). Field offsets: the System V ABI, "Object Files" (Elf64_Ehdr, Elf64_Shdr, Elf64_Sym).
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from goemo_utils.errors import DeviceError

_SYMBOLS, _DYNAMIC, _NOTHING_HERE = 11, 6, 8  # SHT_DYNSYM, SHT_DYNAMIC, SHT_NOBITS
_NEEDED, _UNDEFINED = 1, 0  # DT_NEEDED, SHN_UNDEF
_NAME = re.compile(rb"(?<![A-Za-z0-9_])([A-Za-z][A-Za-z0-9_]{3,80})\x00")


@dataclass(frozen=True)
class Library:
    """What one shared library needs: other libraries, functions it links against, and every word
    among its constants that could be the name of a function looked up later.
    """

    needed: tuple[str, ...]
    linked: frozenset[str]
    words: frozenset[str]


@dataclass(frozen=True)
class _Section:
    name: str
    kind: int
    offset: int
    size: int
    link: int
    entry: int


def read(path: Path) -> Library:
    """Read one library. Raises DeviceError when it is not a 64-bit little-endian ELF file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:6] != b"\x7fELF\x02\x01":
            raise DeviceError(
                f"{path.name} is not a 64-bit little-endian ELF library (it begins with"
                f" {data[:6]!r}). Expected a library of the torch_npu wheel for Linux; install the"
                " wheel again."
            )
        sections = _sections(data)
        return Library(_needed(data, sections), _linked(data, sections), _words(data, sections))


def _sections(data: mmap.mmap) -> list[_Section]:
    table, size, count, names = struct.unpack_from("<Q10xHHH", data, 0x28)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    strings = headers[names][4]
    return [_Section(_string(data, strings + h[0]), h[1], h[4], h[5], h[6], h[9]) for h in headers]


def _string(data: mmap.mmap, start: int) -> str:
    return data[start : data.find(b"\x00", start)].decode("ascii", "replace")


def _linked(data: mmap.mmap, sections: list[_Section]) -> frozenset[str]:
    names = set()
    for section in (s for s in sections if s.kind == _SYMBOLS):
        strings = sections[section.link].offset
        for start in range(section.offset, section.offset + section.size, section.entry):
            name, _info, _other, defined_in = struct.unpack_from("<IBBH", data, start)
            if defined_in == _UNDEFINED and name:
                names.add(_string(data, strings + name))
    return frozenset(names)


def _needed(data: mmap.mmap, sections: list[_Section]) -> tuple[str, ...]:
    names = []
    for section in (s for s in sections if s.kind == _DYNAMIC):
        strings = sections[section.link].offset
        for start in range(section.offset, section.offset + section.size, 16):
            tag, value = struct.unpack_from("<qQ", data, start)
            if tag == _NEEDED:
                names.append(_string(data, strings + value))
    return tuple(names)


def _words(data: mmap.mmap, sections: list[_Section]) -> frozenset[str]:
    words: set[str] = set()
    for section in sections:
        if section.name.startswith(".rodata") and section.kind != _NOTHING_HERE:
            part = data[section.offset : section.offset + section.size]
            words.update(match.decode() for match in _NAME.findall(part))
    return frozenset(words)
