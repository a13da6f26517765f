"""The stand-ins are compiled for both processors that torch_npu is made for."""

import importlib.util
import struct
import sys
from pathlib import Path

import pytest

from goemo_utils.cann import build, elf, wheel
from tests.cann.genuine import needs_wheel

ZIG = [sys.executable, "-m", "ziglang", "cc", "-target"]
MACHINES = {"x86_64": 62, "aarch64": 183}
"""EM_X86_64 and EM_AARCH64 of the System V ABI."""

pytestmark = [
    needs_wheel,
    pytest.mark.long,
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="pip install ziglang"),
]


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_the_stand_ins_are_compiled_for_a_processor_by_ziglang(
    machine: str, tmp_path: Path
) -> None:
    package = wheel.package()
    assert package
    wanted = build.needs(package)
    build.compile_for(machine, wanted, tmp_path, [*ZIG, f"{machine}-linux-gnu"])

    libraries = sorted(path.name for path in tmp_path.glob("*.so"))
    assert libraries == sorted(f"lib{n}.so" for n in ("ascendcl", "opapi", *build.STAND_INS))
    for name in libraries:
        told = struct.unpack_from("<H", (tmp_path / name).read_bytes(), 18)
        assert told == (MACHINES[machine],)
        assert name == "libascendcl.so" or "libascendcl.so" in elf.read(tmp_path / name).needed
