"""Devices that the verdict has not seen, judged as a run judges them, each in a forked process.

`python -m tests.parity.outsider --seconds 600 --part 0 --parts 2` runs every second device of the
list for so long and writes a line a device; `--table FILE…` prints the tables of such lines. All of
it is SIMULATED.
"""

import argparse
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.forward.tiny_model import save

TEXTS = 8
ARCHITECTURES = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "deberta-v2",
    "modernbert",
    "mpnet",
    "xlm-roberta",
)
DTYPES = ("float32", "float16", "bfloat16")
HONEST = (
    "exact",
    "reorder",
    "reorder+ulp",
    "ulp",
    "ulp12",
    "ulp32",
    "row_order",
    "truncating",
    "row_order+ulp12",
    "truncating+ulp",
    "hf32",
    "hf32_away",
    "hf32_trunc",
    "tf32",
    "fp16_matmul",
    "bf16_matmul",
    "tanh_gelu",
    "hf32_linear",
    "hf32_bmm",
    "hf32_conv",
    "ascend910b",
    "hf32+tanh_gelu+reorder+ulp",
    "tf32+row_order+ulp",
    "hf32_linear+ulp12",
    "hf32+ulp32",
)
HALF = ("exact", "reorder", "ulp", "row_order", "truncating", "tanh_gelu", "reorder+ulp")


@dataclass(frozen=True)
class Kind:
    """A kind of fault: how it is asked for at each size, and which names are right."""

    name: str
    sizes: tuple[str, ...]
    names: tuple[str, ...]
    half: bool = True


SCALES = ("1.00001", "1.0001", "1.001", "1.01")
KINDS = (
    Kind("layer norm scaled", tuple(f"native_layer_norm:scale={s}" for s in SCALES), ("gain",)),
    Kind("softmax scaled", tuple(f"_softmax:scale={s}" for s in SCALES), ("gain", "")),
    Kind("linear scaled", tuple(f"addmm:scale={s}" for s in SCALES), ("gain",)),
    Kind("gelu scaled", tuple(f"gelu:scale={s}" for s in SCALES), ("gain",)),
    Kind("linear shifted", tuple(f"addmm:add={a}" for a in ("1e-4", "1e-3", "1e-2")), ("",), False),
    Kind("layer norm shifted", ("native_layer_norm:add=1e-4", "native_layer_norm:add=1e-2"), ("",)),
    Kind("row zeroed", ("native_layer_norm:zero=row", "addmm:zero=row"), ("",)),
    Kind("NaN", ("native_layer_norm:nan", "addmm:nan"), ("",)),
    Kind("saturation", ("addmm:saturate=0.5", "addmm:saturate=0.1"), ("saturation",)),
    Kind(
        "row leaks",
        ("native_layer_norm:leak=1e-4", "native_layer_norm:leak=1e-2"),
        ("", "neighbour"),
    ),
    Kind("mask dropped", ("mask:drop",), ("mask",)),
    Kind("mask inverted", ("mask:invert",), ("mask",)),
    Kind("mask soft", ("mask:soft=-10", "mask:soft=-4"), ("mask",)),
    Kind("mask beyond", ("mask:beyond=4", "mask:beyond=8"), ("mask",)),
    Kind("positions shifted", ("position:shift=1", "position:shift=2"), ("position",)),
    Kind("segments dropped", ("segment:drop",), ("segment",)),
    Kind("relative bias dropped", ("relative_bias:drop",), ("relative bias",)),
    Kind("residual dropped", ("residual:drop",), ("residual",)),
    Kind("neighbour", ("neighbour:leak=1e-3", "neighbour:leak=1e-1"), ("neighbour",)),
    Kind("dropout on", ("dropout:on", "dropout:on=0.2"), ("dropout",)),
    Kind("weights zeroed", ("weights:row=17", "weights:row=40"), ("weights",)),
    Kind("weights NaN", ("weights:nan=17",), ("NaN weights",)),
    Kind(
        "long only", tuple(f"native_layer_norm:scale={s},only_beyond=20" for s in SCALES), ("gain",)
    ),
    Kind(
        "large batches only",
        tuple(f"addmm:scale={s},only_batch>=17" for s in SCALES),
        ("gain", "batch size"),
    ),
    Kind(
        "small batches only",
        tuple(f"addmm:scale={s},only_batch<=3" for s in SCALES),
        ("gain", "batch size"),
    ),
    Kind("neighbour in large batches", ("neighbour:leak=1e-3,only_batch>=17",), ("neighbour",)),
    Kind("mask of long batches", ("mask:drop,only_beyond=20",), ("mask",)),
    Kind(
        "intermittent",
        ("addmm:scale=1.05,once_in=50", "addmm:scale=1.05,once_in=20"),
        ("intermittent",),
    ),
    Kind(
        "reference rounds",
        ("reference:bf16_matmul", "reference:tf32", "reference:hf32"),
        ("",),
        False,
    ),
    Kind("gold rounds", ("gold:float32",), ("",), False),
)
FLOOR = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 4e-3}


@dataclass(frozen=True)
class Device:
    """One device: an architecture, a dtype, an attention, and what it does."""

    architecture: str
    dtype: str
    attention: str
    numerics: str = "exact"
    fault: str | None = None
    kind: str = "honest"
    names: tuple[str, ...] = ()


def devices(seed: int = 0) -> list[Device]:
    """Every combination, shuffled, so that any part of the list is a sample of all of it."""
    found = list(_all())
    random.Random(seed).shuffle(found)
    return found


def _all() -> Iterator[Device]:
    for architecture, dtype in itertools.product(ARCHITECTURES, DTYPES):
        for attention in ("eager", "sdpa") if architecture != "deberta-v2" else ("eager",):
            for numerics in HONEST if dtype == "float32" else HALF:
                yield Device(architecture, dtype, attention, numerics)
            for kind in KINDS:
                for fault in kind.sizes if kind.half or dtype == "float32" else ():
                    if not below(fault, dtype):
                        yield Device(
                            architecture, dtype, attention, "exact", fault, kind.name, kind.names
                        )


def below(fault: str, dtype: str) -> bool:
    """Whether a scale is smaller than the verdict promises to see in this dtype."""
    if dtype != "float32" and ("add=1e-4" in fault or "leak=1e-3" in fault or "leak=1e-4" in fault):
        return True
    if "scale=" not in fault:
        return False
    gain = float(fault.split("scale=")[1].split(",")[0]) - 1.0
    return gain < 0.99 * FLOOR[dtype]


def judged(device: Device, model: Path, folder: Path) -> dict[str, Any]:
    """The payload of one device, all in this process."""
    from goemo_utils.forward.pack import read_pack
    from goemo_utils.forward.run import run
    from goemo_utils.notebook.comparison import EVIDENCE
    from goemo_utils.parity import judge, run_job
    from goemo_utils.texts.builtin import BUILTIN

    texts = list(BUILTIN)[:TEXTS]
    base = {
        "kind": "forward",
        "model": str(model),
        "revision": None,
        "task": "auto",
        "weights_dtype": device.dtype,
        "attn_implementation": device.attention,
        "texts": texts,
        "max_length": 512,
        "batch_size": 4,
        "hidden": "all",
        "seed": 0,
        "threads": 1,
        "numerics": "exact",
        "fault": None,
        "degraded": device.fault,
    }
    for role in ("gold", "reference"):
        dtype = "float64" if role == "gold" else device.dtype
        out = str(folder / role)
        run({**base, "role": role, "device": "cpu", "dtype": dtype, "out": out})
    own = {"numerics": device.numerics, "fault": device.fault, "dtype": device.dtype}
    job = {**base, **own, "role": "candidate", "device": "rehearsal"}
    run({**job, "out": str(folder / "candidate")})
    packs = {role: str(folder / role) for role in ("gold", "reference")}
    found = run_job(
        {**job, "kind": "parity", "out": str(folder / "explain"), "packs": packs}, print
    )
    made = {name: read_pack(path) for name, path in found["packs"].items()}
    sides = [read_pack(folder / role) for role in ("gold", "reference", "candidate")]
    parts = {name: found[name] for name in EVIDENCE}
    return judge(*sides, None, texts, **parts, rung=made.pop("rung", None), used=made)


def line(device: Device, payload: dict[str, Any]) -> dict[str, Any]:
    """What the tables need of one judgement."""
    failed = [gate["id"] for gate in payload["gates"] if gate["result"] == "fail"]
    named = [name["name"] for name in payload["names"]]
    honest = device.kind == "honest"
    wrong = None
    if honest:
        outcome = "false alarm" if payload["verdict"] == "fail" else "right"
    elif device.kind in ("reference rounds", "gold rounds"):
        outcome = "right" if "reference" in failed else "false pass"
        wrong = outcome == "right" and None
    else:
        outcome = "right" if payload["verdict"] == "fail" else "false pass"
        wrong = outcome == "right" and not _right(device.names, named)
    return {
        **asdict(device),
        "verdict": payload["verdict"],
        "outcome": outcome,
        "wrong_name": bool(wrong),
        "causes": payload["causes"],
        "named": named,
        "failed": failed,
        "faults": [f"{f['module']} {f['operator']}" for f in payload["faults"]][:2],
    }


def _right(wanted: tuple[str, ...], named: list[str]) -> bool:
    """The kind's own name first; where it has none, its call's place says enough."""
    return "" in wanted or any(name in wanted for name in named[:2])


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of ``work`` in a forked process: the rehearsal device stays on in its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        try:
            answer = work()
        except BaseException as error:
            answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
        os.write(writer, json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        told = stream.read()
    os.waitpid(child, 0)
    return json.loads(told or "{}")


def main(argv: list[str]) -> int:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--seconds", type=float, default=60.0)
    command.add_argument("--part", type=int, default=0)
    command.add_argument("--parts", type=int, default=1)
    command.add_argument("--out", type=Path, default=None)
    command.add_argument("--table", type=Path, nargs="*", default=None)
    args = command.parse_args(argv)
    if args.table:
        lines = [json.loads(row) for path in args.table for row in path.read_text().splitlines()]
        print(table(lines))
        return 0
    import torch
    import transformers.models.auto.modeling_auto  # noqa: F401  imported once, before the forks

    torch.set_num_threads(1)
    end = time.monotonic() + args.seconds
    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Path] = {}
        for number, device in enumerate(devices()[args.part :: args.parts]):
            if time.monotonic() > end:
                break
            if device.architecture not in models:
                path = Path(folder) / device.architecture
                models[device.architecture] = save(path, device.architecture)
            place = Path(folder) / str(number)
            model = models[device.architecture]
            told = in_child(lambda d=device, m=model, p=place: line(d, judged(d, m, p)))
            told = {**asdict(device), "outcome": "not run"} | told
            text = json.dumps(told)
            if args.out:
                with args.out.open("a") as stream:
                    stream.write(text + "\n")
            else:
                print(text, flush=True)
    return 0


def table(lines: list[dict[str, Any]]) -> str:
    """Outcomes by kind, as a table in Markdown."""
    rows = [
        "| kind | devices | right | false passes | false alarms | wrong names |",
        "|---|---|---|---|---|---|",
    ]
    ran = [row for row in lines if row["outcome"] != "not run"]
    kinds = sorted({row["kind"] for row in ran}, key=lambda kind: (kind != "honest", kind))
    for kind in [*kinds, None]:
        mine = [row for row in ran if kind in (row["kind"], None)]
        counts = [
            sum(r["outcome"] == word for r in mine)
            for word in ("right", "false pass", "false alarm")
        ]
        names = sum(row.get("wrong_name", False) for row in mine)
        rows.append(
            f"| {kind or 'all'} | {len(mine)} | {counts[0]} | {counts[1]} | {counts[2]} | {names} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
