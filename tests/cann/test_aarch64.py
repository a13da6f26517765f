"""The entries for aarch64, run by an emulator of that processor: what a caller hands over is what
goemo_call finds, and what it answers comes back.

The calling convention: Procedure Call Standard for the Arm 64-bit Architecture (AAPCS64), 6.8.2.
"""

import importlib.util
import mmap
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from goemo_utils.cann import build, elf
from tests.cann.test_build import ZIG

ABSENT = [name for name in ("ziglang", "unicorn") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(bool(ABSENT), reason=f"pip install {' '.join(ABSENT)}"),
]

CODE, STACK, END = 0x100000, 0x800000, 0x10
CALL = "int goemo_call(int index, void *at) { return 40 + index; }\n"
GENERAL = [0x1000 + number for number in range(8)]
FLOATING = [1.5 * number for number in range(8)]


def _library(folder: Path) -> Path:
    (folder / "call.c").write_text(CALL, encoding="utf-8")
    build.write_sources("aarch64", build.Needs((), ("aclnnOne", "aclnnTwo")), folder)
    command = [*ZIG, "aarch64-linux-gnu", "-shared", "-fPIC", "-O1", "-nostdlib"]
    command += ["-Wl,-Bsymbolic", "-o", "entries.so", "entries.s", "call.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    return folder / "entries.so"


def _symbols(path: Path) -> dict[str, int]:
    """The addresses of what a library defines, by name."""
    found = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        sections = elf._sections(data)
        (table,) = [one for one in sections if one.kind == elf._SYMBOLS]
        for start in range(table.offset, table.offset + table.size, table.entry):
            name, _info, _other, _section, value = struct.unpack_from("<IBBHQ", data, start)
            found[elf._string(data, sections[table.link].offset + name)] = value
    return found


def _loaded(path: Path) -> Any:
    """An emulated processor with the library's segments in memory, and a stack."""
    from unicorn import UC_ARCH_ARM64, UC_MODE_ARM, Uc

    processor, data = Uc(UC_ARCH_ARM64, UC_MODE_ARM), path.read_bytes()
    processor.mem_map(CODE, 0x200000)
    processor.mem_map(STACK, 0x10000)
    first, size, count = struct.unpack_from("<Q14xHH", data, 32)
    for place in range(first, first + size * count, size):
        kind, _flags, offset, address, _, length = struct.unpack_from("<IIQQQQ", data, place)
        if kind == 1:  # PT_LOAD
            processor.mem_write(CODE + address, data[offset : offset + length])
    return processor


@pytest.mark.parametrize(("entry", "index"), [("aclnnOneGetWorkspaceSize", 0), ("aclnnTwo", 3)])
def test_an_entry_hands_over_registers_and_stack_and_gives_them_back(
    entry: str, index: int, tmp_path: Path
) -> None:
    from unicorn import UC_HOOK_CODE
    from unicorn import arm64_const as arm

    library = _library(tmp_path)
    processor, symbols = _loaded(library), _symbols(library)
    top = STACK + 0x8000
    processor.mem_write(top, struct.pack("<2q", 77, 78))  # the ninth and the tenth argument
    for number in range(8):
        processor.reg_write(arm.UC_ARM64_REG_X0 + number, GENERAL[number])
        bits = struct.unpack("<Q", struct.pack("<d", FLOATING[number]))[0]
        processor.reg_write(arm.UC_ARM64_REG_D0 + number, bits)
    kept = {arm.UC_ARM64_REG_SP: top, arm.UC_ARM64_REG_X29: 0x5555, arm.UC_ARM64_REG_X30: END}
    for register, value in kept.items():
        processor.reg_write(register, value)

    seen: list[Any] = []

    def look(emulated: Any, address: int, _size: int, _data: object) -> None:
        if address == CODE + symbols["goemo_call"]:
            frame = bytes(emulated.mem_read(emulated.reg_read(arm.UC_ARM64_REG_X1), 136))
            seen.append((emulated.reg_read(arm.UC_ARM64_REG_W0), struct.unpack("<8q8dq", frame)))

    processor.hook_add(UC_HOOK_CODE, look)
    processor.mem_map(0, 0x1000)
    processor.emu_start(CODE + symbols[entry], END)

    ((told, frame),) = seen
    assert told == index
    assert list(frame[:8]) == GENERAL
    assert list(frame[8:16]) == FLOATING
    assert struct.unpack("<2q", processor.mem_read(frame[16], 16)) == (77, 78)
    assert processor.reg_read(arm.UC_ARM64_REG_W0) == 40 + index
    for register, value in kept.items():
        assert processor.reg_read(register) == value
