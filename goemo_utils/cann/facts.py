"""What a torch_npu release does, read from the wheel: which aclnn operators the ATen operators
of an encoder ask for, which environment variables and operators a wheel knows.

    python -m goemo_utils.cann.facts PACKAGE ... --markdown docs/torch_npu.md

Every PACKAGE is the torch_npu folder of an unpacked wheel; its libraries are only read. The table
of operators is recorded with the release that belongs to the installed torch, on stand-ins.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from goemo_utils import cann
from goemo_utils.cann import elf, fallbacks

FLAGS = ("cubeMathType", "approximate", "innerPrecise", "sparseMode", "inputLayout", "pseType")
_VARIABLE = re.compile(
    r"(ASCEND|TORCH|PYTORCH|TASK_QUEUE|HCCL|INF_NAN|ACL_OP|COMBINED|PER_STREAM|MULTI_STREAM"
    r"|CPU_AFFINITY|STREAMS_PER|OOM_SNAPSHOT)_[A-Z0-9_]{3,}"
)


@dataclass(frozen=True)
class Wheel:
    """What is read from one wheel without importing it."""

    release: str
    operators: frozenset[str]
    variables: frozenset[str]


@dataclass
class Asked:
    """What one ATen operator asked CANN for, and with which flags."""

    operators: list[str] = field(default_factory=list)
    families: set[str] = field(default_factory=set)


def wheel(package: Path) -> Wheel:
    """Read the libraries of an unpacked wheel. Raises DeviceError when they are no ELF files."""
    version = (package / "version.py").read_text(encoding="utf-8")
    release = re.search(r"__version__ = '([^'+]+)", version)
    words = elf.read(package / "lib" / "libtorch_npu.so").words
    names = {word for word in words if re.fullmatch(r"aclnn[A-Z]((?!aclnn)\w)*", word)}
    operators = {name.removesuffix("GetWorkspaceSize") for name in names}
    variables = {word for word in words if _VARIABLE.fullmatch(word)}
    return Wheel(release[1] if release else "unknown", frozenset(operators), frozenset(variables))


def recorded(compatible: bool) -> dict[str, Asked]:
    """Run an encoder of every family forward and backward and record what each ATen operator asks
    for. One process can do it once: torch_npu reads its switches at their first use.
    """
    os.environ["TASK_QUEUE_ENABLE"] = "0"
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    cann.enable()
    import torch_npu
    from torch.utils._python_dispatch import TorchDispatchMode

    torch_npu.npu.use_compatible_impl(compatible)
    from goemo_utils.cann import calls

    table: dict[str, Asked] = {}
    seen: list[str] = []
    calls.LISTENERS.append(lambda *call: seen.append(_flagged(*call)))

    class Listen(TorchDispatchMode):
        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            seen.clear()
            result = function(*args, **(kwargs or {}))
            if seen:
                row = table.setdefault(str(function), Asked())
                row.operators += [name for name in dict.fromkeys(seen) if name not in row.operators]
                row.families.add(family)
            return result

    for family, model, batch in _models():  # noqa: B007  Listen reads it
        with Listen():  # type: ignore[no-untyped-call]  # torch leaves it untyped
            model(**batch).logits.float().pow(2).mean().backward()
    return table


def _flagged(operator: str, names: Sequence[str], values: Sequence[Any]) -> str:
    given = dict(zip(names, values, strict=True))
    flags = [f"{name}={given[name]}" for name in FLAGS if name in given]
    return f"{operator}({', '.join(flags)})" if flags else operator


def _models() -> Iterator[tuple[str, Any, Any]]:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    for family, settings in _families().items():
        for attention in ("eager", "sdpa"):
            try:
                # a config of its own for each: making a model may change it
                config = AutoConfig.for_model(family, **settings)
                model = AutoModelForSequenceClassification.from_config(
                    config, attn_implementation=attention
                )
            except ValueError:  # transformers has no such attention for this family
                continue
            ids = torch.randint(5, 90, (2, 8))
            mask = torch.ones_like(ids)
            mask[1, 5:] = 0
            batch = {"input_ids": ids.to("npu:0"), "attention_mask": mask.to("npu:0")}
            yield family, model.eval().to("npu:0"), batch


def _families() -> dict[str, dict[str, Any]]:
    size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    size |= {"intermediate_size": 64, "vocab_size": 100, "num_labels": 4}
    distilled = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64, "vocab_size": 100}
    relative = {"relative_attention": True, "position_buckets": 4, "pos_att_type": ["p2c", "c2p"]}
    # four layers: with one, every layer is of one kind and the config is refused
    special = {"num_hidden_layers": 4, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2}
    special |= {"bos_token_id": 1, "eos_token_id": 2}

    return {
        "roberta": size,
        "bert": size,
        "electra": {**size, "embedding_size": 16},
        "distilbert": {**distilled, "num_labels": 4},
        "deberta-v2": {**size, **relative},
        "modernbert": {**size, **special},
    }


def markdown(wheels: Sequence[Wheel], table: dict[str, Asked], compatible: bool) -> str:
    """The page: operators by ATen operator, then what changed between the releases."""
    setting = "on (before the first call)" if compatible else "off, as it comes"
    lines = [
        "# torch_npu, read from the wheel",
        "",
        "Made by `python -m goemo_utils.cann.facts` from the wheels themselves; the table with the",
        "genuine torch_npu 2.13.0 on a SIMULATED CANN (soc name Ascend910B3). It says what the",
        "library asks CANN for. What a card then computes, and how fast, it cannot say.",
        "",
        "## What an encoder asks for",
        "",
        "Forward and backward of RoBERTa, BERT, ELECTRA, DistilBERT, DeBERTa-v2 and ModernBERT,",
        f"float32, eager and SDPA, `use_compatible_impl` {setting}. cubeMathType: 0 keeps float32,",
        "1 and 3 allow HF32. ATen operators that only make views ask for nothing and are left out.",
        "",
        "| ATen operator | asks CANN for | families |",
        "|---|---|---|",
    ]
    families = 6
    for name, row in sorted(table.items()):
        where = "all" if len(row.families) == families else ", ".join(sorted(row.families))
        lines.append(f"| `{name}` | {', '.join(f'`{one}`' for one in row.operators)} | {where} |")

    lines += ["", "## Releases", "", "| release | aclnn operators | variables in its binary |"]
    lines += ["|---|---|---|"]
    ordered = sorted(wheels, key=lambda one: [int(n) for n in re.findall(r"\d+", one.release)])
    lines += [f"| {w.release} | {len(w.operators)} | {len(w.variables)} |" for w in ordered]
    for older, newer in pairwise(ordered):
        lines += ["", f"### From {older.release} to {newer.release}", ""]
        lines += [
            f"- new operators: {_listed(newer.operators - older.operators)}",
            f"- gone operators: {_listed(older.operators - newer.operators)}",
            f"- new variables: {_listed(newer.variables - older.variables)}",
            f"- gone variables: {_listed(older.variables - newer.variables)}",
        ]
    newest = ordered[-1].variables if ordered else frozenset()
    lines += ["", f"## Variables in the binary of {ordered[-1].release}", "", _listed(newest), ""]
    return "\n".join(lines)


def _listed(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", type=Path, help="torch_npu folders of wheels")
    parser.add_argument("--compatible", action="store_true", help="with use_compatible_impl")
    parser.add_argument("--markdown", type=Path, required=True, help="where to write the page")
    options = parser.parse_args(argv)
    wheels = [wheel(package) for package in options.packages]
    table = recorded(options.compatible)
    old = options.markdown.read_text(encoding="utf-8") if options.markdown.exists() else ""
    page = fallbacks.keep(old, markdown(wheels, table, options.compatible))
    options.markdown.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
