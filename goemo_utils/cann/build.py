"""Compile the stand-ins for CANN's libraries, for one torch_npu wheel, into a cache folder.

What is needed is read from the wheel (``elf``): the libraries it links against, the C functions it
links or looks up by name, the aclnn operators. Those with a body stand in source/; every other
function answers 0. The folder is named by a digest of the wheel's release and of the sources, so a
second call finds it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from goemo_utils.cann import elf
from goemo_utils.errors import DeviceError, first_line

SOURCE = Path(__file__).parent / "source"
# the libraries of CANN that torch_npu links against or opens by name (read from 2.13.0)
STAND_INS = ("hccl", "acl_op_compiler", "ge_runner", "graph", "acl_tdt_channel")
_OURS = re.compile(r"(acl|Msprof|rt[A-Z]|Hccl)\w*")
_LOOKED_UP = re.compile(r"acl(rt|op|mdl|tdt|sys|prof)?[A-Z]\w*|rt[A-Z][A-Za-z]*")
# Results of these would be read, so they are left out: torch_npu then goes the way of a CANN that
# is older than they are. aclnn operators are entries of libopapi.so.
_ABSENT = re.compile(
    r"aclnn\w*|aclmdlRI\w*|aclRfft\w*|aclStft\w*|aclprof\w*|aclsys\w*"
    r"|aclrt(DeviceTaskAbort|HostRegister|GetDeviceResLimit|Ipc|SetDeviceRes|GetResIn|UseStream"
    r"|GetStreamRes|UnuseStream|MemcpyBatch|PointerGet|GetMemUsage|GetMemUce|GetErrorVerbose"
    r"|DeviceGetUuid|GetLogicDevId|EventGetTimestamp|GetHardwareSyncAddr)\w*"
    r"|acl(Create|Destroy)(Tensor|Scalar|IntArray|BoolArray|FloatArray|TensorList|ScalarList"
    r"|AclOpExecutor)|aclGetViewShape"
)
_ENTRY = {
    "x86_64": "{name}: movl ${index}, %eax\n    jmp goemo_enter\n",
    "aarch64": "{name}: mov w17, #{index}\n    b goemo_enter\n",
}
_ENTER = {
    "x86_64": """
goemo_enter:
    pushq %rbp
    movq %rsp, %rbp
    subq $144, %rsp
    movq %rdi, (%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movsd %xmm0, 64(%rsp)
    movsd %xmm1, 72(%rsp)
    movsd %xmm2, 80(%rsp)
    movsd %xmm3, 88(%rsp)
    movsd %xmm4, 96(%rsp)
    movsd %xmm5, 104(%rsp)
    movsd %xmm6, 112(%rsp)
    movsd %xmm7, 120(%rsp)
    leaq 16(%rbp), %rcx
    movq %rcx, 128(%rsp)
    movl %eax, %edi
    movq %rsp, %rsi
    call goemo_call@PLT
    leave
    ret
""",
    "aarch64": """
goemo_enter:
    mov x16, sp
    stp x29, x30, [sp, #-160]!
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    stp d0, d1, [sp, #80]
    stp d2, d3, [sp, #96]
    stp d4, d5, [sp, #112]
    stp d6, d7, [sp, #128]
    str x16, [sp, #144]
    mov w0, w17
    add x1, sp, #16
    bl goemo_call
    ldp x29, x30, [sp], #160
    ret
""",
}


@dataclass(frozen=True)
class Needs:
    """What a torch_npu wheel needs of CANN: the functions with a body of their own or none, and
    the aclnn operators.
    """

    functions: tuple[str, ...]
    operators: tuple[str, ...]


def needs(package: Path) -> Needs:
    """Read the libraries of an installed torch_npu. Raises DeviceError when there are none."""
    paths = [package / "lib" / f"lib{name}.so" for name in ("torch_npu", "npu_profiler")]
    if not paths[0].is_file():
        raise DeviceError(
            f"There is no lib/libtorch_npu.so in the torch_npu package at {package}. Expected the"
            " wheel as pip installs it; install it again."
        )
    libraries = [elf.read(path) for path in paths if path.is_file()]
    linked = {n for one in libraries for n in one.linked if _OURS.fullmatch(n)}
    words = {word for one in libraries for word in one.words}

    later = {w for w in words if _LOOKED_UP.fullmatch(w) and not _ABSENT.fullmatch(w)}
    named = {w.removesuffix("GetWorkspaceSize") for w in words if re.match(r"aclnn[A-Z]", w)}
    return Needs(tuple(sorted(linked | later)), tuple(sorted(named)))


def folder(package: Path) -> Path:
    """The built stand-ins for this wheel, compiled when they are not in the cache yet.

    Raises DeviceError when the machine is neither x86-64 nor aarch64, or without a C compiler.
    """
    if sys.platform != "linux" or platform.machine() not in _ENTRY:
        raise DeviceError(
            f"A simulated CANN is built for Linux on x86-64 or aarch64; this is {sys.platform} on"
            f" {platform.machine()}. Use rehearsal_engine: pytorch, which runs anywhere."
        )
    made = cache() / _digest(package)
    if not (made / "libopapi.so").is_file():
        _build(needs(package), made)
    return made


def cache() -> Path:
    """Where built stand-ins and fetched wheels are kept: GOEMO_CANN_CACHE, or goemo/cann under the
    user's cache folder.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("GOEMO_CANN_CACHE") or Path(base) / "goemo" / "cann")


def compiler() -> list[str]:
    """The command of the C compiler at hand: $CC, cc, gcc, clang, or the ziglang package."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and shutil.which(name):
            return [name]
    if importlib.util.find_spec("ziglang"):
        return [sys.executable, "-m", "ziglang", "cc"]
    raise DeviceError(
        "A simulated CANN needs a C compiler and none was found (looked for $CC, cc, gcc, clang and"
        " the package ziglang). Install one of them, for example: pip install ziglang"
    )


def _digest(package: Path) -> str:
    release = (package / "version.py").read_text(encoding="utf-8")
    library = (package / "lib" / "libtorch_npu.so").stat().st_size
    digest = hashlib.sha256(f"{release}{library}{platform.machine()}".encode())
    for path in (*sorted(SOURCE.glob("*.c")), Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_for(machine: str, wanted: Needs, work: Path, command: list[str]) -> None:
    """Write the sources of the stand-ins for ``machine`` (x86_64 or aarch64) into ``work`` and
    compile them there with ``command``, which may be a cross-compiler.
    """
    write_sources(machine, wanted, work)
    _compile(command, work, "ascendcl", ["acl.c", "-ldl", "-lpthread"])
    beside = ["-L.", "-lascendcl", "-Wl,-rpath,$ORIGIN"]
    _compile(command, work, "opapi", ["opapi.c", "entries.s", *beside])
    for name in STAND_INS:
        _compile(command, work, name, ["none.c", *beside])


def _build(wanted: Needs, made: Path) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=made.parent) as name:
        work = Path(name) / "lib"
        work.mkdir()
        compile_for(platform.machine(), wanted, work, compiler())

        for part in ("runtime", "compiler", "opp"):  # what torch_npu's import looks for
            (work / "home" / part).mkdir(parents=True)
        try:
            work.rename(made)
        except OSError:  # another process was quicker, with the same result
            if not (made / "libopapi.so").is_file():
                raise


def write_sources(machine: str, wanted: Needs, work: Path) -> None:
    """Write what is compiled: C, and an entry in assembly for each half of each operator."""
    runtime = (SOURCE / "runtime.c").read_text(encoding="utf-8")
    own = set(re.findall(r"^[\w ]+?\*?((?:acl|rt|Msprof|Hccl)\w+)\(", runtime, re.M))
    answers = [f"long {n}(void) {{ return 0; }}\n" for n in wanted.functions if n not in own]
    (work / "acl.c").write_text(runtime + "".join(answers), encoding="utf-8")

    names = ",\n".join(f'    "{name}"' for name in wanted.operators)
    table = f"const char *const goemo_operator_names[] = {{\n{names}\n}};\n"
    count = f"const int goemo_operator_count = {len(wanted.operators)};\n"
    operators = (SOURCE / "operators.c").read_text(encoding="utf-8")
    (work / "opapi.c").write_text(operators + table + count, encoding="utf-8")
    (work / "operators.txt").write_text("\n".join(wanted.operators), encoding="utf-8")

    entries = [".text\n", _ENTER[machine]]
    for number, name in enumerate(wanted.operators):
        for index, entry in ((2 * number, name + "GetWorkspaceSize"), (2 * number + 1, name)):
            body = _ENTRY[machine].format(name=entry, index=index)
            entries.append(f".globl {entry}\n.type {entry}, %function\n{body}")
    (work / "entries.s").write_text("".join(entries) + '.section .note.GNU-stack,"",%progbits\n')
    # what it calls keeps libascendcl.so among the libraries that each of them needs
    nothing = "const char *goemo_simulated_cann(void);\n"
    nothing += "const char *goemo_stand_in(void) { return goemo_simulated_cann(); }\n"
    (work / "none.c").write_text(nothing, encoding="utf-8")


def _compile(compiling: list[str], work: Path, name: str, arguments: list[str]) -> None:
    flags = ["-shared", "-fPIC", "-O1", "-w", f"-Wl,-soname,lib{name}.so", "-o", f"lib{name}.so"]
    command = [*compiling, *flags, *arguments]
    try:
        subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, timeout=300)
    except subprocess.CalledProcessError as error:
        raise DeviceError(
            f"The stand-in lib{name}.so of the simulated CANN could not be compiled with"
            f" {command[0]}: {first_line(RuntimeError(error.stderr))}. Name another C compiler in"
            " the variable CC."
        ) from None
