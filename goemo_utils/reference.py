"""Make a reference pack on this machine: the answers another machine's device is judged by."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemo_utils import worker
from goemo_utils.errors import PackError
from goemo_utils.forward import job
from goemo_utils.pack import Pack, read_pack
from goemo_utils.record import ROOT

if TYPE_CHECKING:
    from goemo_utils.params import Params

# A pack is a reference for a candidate only if all of these agree; the first that differs is named.
SAME = {"weights": lambda m: m["model"]["weights_sha256"], "config": lambda m: m["model"]["config_sha256"],
        "tokenizer": lambda m: m["model"]["tokenizer_sha256"], "texts": lambda m: m["texts_digest"],
        "token ids": lambda m: m["input_ids_digest"], "task": lambda m: m["task"], "dtype": lambda m: m["dtype"],
        "attention": lambda m: m["attn_implementation"]}


def fits(reference: Pack, other: dict[str, Any]) -> None:
    """Raise PackError naming the first thing in which a reference pack differs from the run it is to judge (a manifest of the same role or a candidate)."""
    for name, of in SAME.items():
        ours, theirs = of(other), of(reference.manifest)
        if ours != theirs:
            raise PackError(f"The reference pack {reference.path} was made from another {name}: it has {theirs}, this run has {ours}. "
                            "Make it again on the other machine with the same parameters: goemo reference -f FILE.")


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Options of ``goemo reference``."""
    command.add_argument("-f", "--file", type=Path, default=ROOT / "params" / "rehearsal.yaml", metavar="YAML", help="the run's parameters file (default: params/rehearsal.yaml)")
    command.add_argument("-p", "--param", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="set one parameter; repeatable")
    command.add_argument("--output", type=Path, default=Path("reference"), metavar="PACK", help="where to write: PACK.safetensors and PACK.json (default: ./reference)")


def run(args: argparse.Namespace) -> int:
    """Make the pack on the CPU (or the CUDA device that ``reference`` names), never on the device under test."""
    from goemo_utils.params import Params
    from goemo_utils.texts import load_texts

    params: Params = Params.load(args.file, dict(args.param))
    if Path(params.reference).is_absolute():
        params = params.model_copy(update={"reference": "cpu"})
    texts = load_texts(params)
    out = args.output.resolve()
    made = worker.run(job(params, texts.texts, "reference", out), out.with_suffix(".log"), lambda line: print(f"\r{line}", end="", flush=True))
    print(f"\rreference pack: {args.output}.safetensors and {args.output}.json ({made['n_texts']} texts, {made['dtype']}, {made['device']['name']}, "
          f"{made['cpu_capability']})\nuse it there: goemo run -f params/npu.yaml -p reference {args.output}")
    read_pack(out)
    return 0
