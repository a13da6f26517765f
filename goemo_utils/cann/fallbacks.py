"""The operators that torch_npu itself sends to the CPU, read from its dispatcher.

    python -m goemo_utils.cann.fallbacks --markdown docs/torch_npu.md

An ATen operator falls back when torch_npu registers no kernel for it, torch composes none for any
device, and the CPU has one: torch's table of dispatch then names torch_npu's own backend fallback,
which copies to the CPU and back, and warns. A plain form that torch composes of its out= form falls
back with that. The table belongs to the release of the installed torch.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goemo_utils import cann

START = "<!-- fallbacks: made by goemo_utils.cann.fallbacks -->"
END = "<!-- end of fallbacks -->"
_SECTION = re.compile(re.escape(START) + ".*?" + re.escape(END), re.DOTALL)
_ROW = re.compile(r"^PrivateUse1: .*VariableFallbackKernel.*\[backend fallback\]", re.MULTILINE)
"""What torch's table of an operator says where torch_npu's own fallback takes it."""
GROUPS = (
    ("sparse, quantized, nested", r"sparse|quant|nested|csr|_coo|sspaddmm|jagged|int[48]pack|_fq_"),
    ("linear algebra", r"linalg|cholesky|^lu_|qr|svd|lstsq|triangular|householder"),
    ("Fourier transforms and windows", r"fft|stft|window"),
    ("special functions", r"special_|gamma|bessel|igamma|zeta|erfcx"),
    ("pooling, padding, resampling", r"pool|pad|upsample|grid|im2col|col2im|shuffle|roi"),
    ("losses", r"loss"),
    ("recurrent layers", r"lstm|gru|rnn"),
    ("random numbers", r"random|bernoulli|cauchy|normal|poisson|binomial|dirichlet|geometric"),
    ("many tensors at once", r"foreach|fused"),
)
"""Names of the groups of the table, and what the operators of each are called; the rest is last."""


def fallen() -> list[str]:
    """The operators that fall back, with their overloads and without ``aten::``, sorted.

    Imports the genuine torch_npu on a SIMULATED CANN; raises DeviceError as ``cann.enable`` does.
    """
    cann.enable()
    import torch
    import torch_npu  # noqa: F401

    dispatcher: Any = torch._C
    names = [n for n in dispatcher._dispatch_get_all_op_names() if n.startswith("aten::")]
    fallen = {name for name in names if _falls_back(name, dispatcher)}
    fallen |= {name for name in names if _composed(name, dispatcher) and _out_forms(name) & fallen}

    plain = (name.removeprefix("aten::") for name in fallen)
    return sorted(name for name in plain if not re.match(r"_test_|_foobar", name))


def _composed(name: str, dispatcher: Any) -> bool:
    has_kernel = dispatcher._dispatch_has_kernel_for_dispatch_key
    own = has_kernel(name, "PrivateUse1") or has_kernel(name, "AutogradPrivateUse1")
    return not own and bool(has_kernel(name, "CompositeExplicitAutogradNonFunctional"))


def _out_forms(name: str) -> set[str]:
    if "." in name:
        return {f"{name}_out"}
    return {f"{name}.{end}" for end in ("out", "L", "inverse", "result", "eigenvalues", "sign")}


def _falls_back(name: str, dispatcher: Any) -> bool:
    if not dispatcher._dispatch_has_kernel_for_dispatch_key(name, "CPU"):
        return False
    return bool(_ROW.search(dispatcher._dispatch_dump_table(name)))


def section(names: Sequence[str], release: str) -> str:
    """The part of the page between its marks: the plain forms by kind, then the forms that write
    into their arguments.
    """
    plain = [name for name in names if not _writes(name)]
    groups: dict[str, list[str]] = defaultdict(list)
    for name in plain:
        groups[_group(name)].append(f"`{name}`")

    written = ", ".join(f"`{name}`" for name in names if _writes(name))
    lines = [
        START,
        "## What falls back to the CPU",
        "",
        f"Made by `python -m goemo_utils.cann.fallbacks` with torch_npu {release}. For these",
        f"{len(names)} ATen operators, {len(plain)} of them plain forms, torch_npu has no kernel",
        "of its own, torch composes none, and the CPU has one: the call copies its tensors to the",
        "CPU and back, and warns. With `TORCH_NPU_FALLBACK_CPU_DISABLE=1` it is an error. None of",
        "the operators that an encoder asks for is among them. An operator may stay on the device",
        "in its plain form and fall back with `out=` or in place, or the other way about.",
        "",
        "| kind | operators |",
        "|---|---|",
    ]
    order = [name for name, _ in GROUPS] + ["other"]
    lines += [f"| {name} | {', '.join(groups[name])} |" for name in order if groups[name]]
    lines += [f"| with `out=` or in place | {written} |"]
    return "\n".join([*lines, "", END])


def _writes(name: str) -> bool:
    base, _, overload = name.partition(".")
    return "out" in overload or overload in ("grad_input", "values") or base.endswith("_")


def _group(base: str) -> str:
    return next((name for name, pattern in GROUPS if re.search(pattern, base)), "other")


def insert(page: str, part: str) -> str:
    """The page with its section of fallbacks replaced, or added at its end."""
    if _SECTION.search(page):
        return _SECTION.sub(lambda _: part, page)
    return f"{page.rstrip()}\n\n{part}\n"


def keep(old: str, page: str) -> str:
    """The page, made anew, with the section of fallbacks that the old one had."""
    section = _SECTION.search(old)
    return insert(page, section[0]) if section else page


def main(argv: Sequence[str] | None = None) -> int:
    """Print how many operators fall back and write the section; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", type=Path, help="the page that holds the section")
    options = parser.parse_args(argv)
    names = fallen()
    print(f"{len(names)} ATen operators fall back to the CPU.")
    if options.markdown:
        page = options.markdown.read_text(encoding="utf-8")
        part = section(names, cann.wheel.wanted())
        options.markdown.write_text(insert(page, part), encoding="utf-8")

    return 0


if __name__ == "__main__":
    sys.exit(main())
