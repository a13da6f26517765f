"""Devices that the verdict has not seen, judged as a run judges them.

`python -m tests.parity.outsider --out FILE --seconds 600` judges the devices of the list that FILE
does not hold yet, for so long, and writes a line a device; `--cases FILE.py` takes the devices of
another list; `--table FILE…` prints the tables of such lines. All of it is SIMULATED.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.forward.tiny_model import save
from tests.parity.devices import Case, Device, devices, sample

FAULTY = 2700
VISIT = 16
"""Devices that are judged on one model before the next: a process a visit."""
LAST = ("reference rounds", "gold rounds")
"""Kinds in which not the device is at fault."""
NOTHING = ("has nothing to act on", "never fired", "would change nothing", "names the ")
"""How the rehearsal refuses a fault of a thing that a model does not have: no device."""


def judged(device: Device, model: Path, folder: Path) -> dict[str, Any]:
    """The payload of one device, all in this process."""
    from tests.parity.shared import Bench

    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(device.architecture, device.dtype, device.attention, model, folder)
    return bench.judge(device)


def line(device: Device, payload: dict[str, Any]) -> dict[str, Any]:
    """What the tables need of one judgement."""
    failed = [gate["id"] for gate in payload["gates"] if gate["result"] == "fail"]
    named = [name["name"] for name in payload["names"]]
    if device.honest:
        outcome = "false alarm" if payload["verdict"] == "fail" else "right"
        own = "+".join((device.numerics, *device.names))
        wrong = outcome == "right" and not _claimed(own, payload["causes"])
    elif device.kind in LAST:
        outcome = "right" if "reference" in failed else "false pass"
        wrong = False
    else:
        outcome = "right" if payload["verdict"] == "fail" else "false pass"
        wrong = outcome == "right" and not _right(device.names, named)

    gates = {gate["id"]: gate["meaning"] for gate in payload["gates"] if gate["result"] == "fail"}
    return {
        **_words(device),
        "verdict": payload["verdict"],
        "outcome": outcome,
        "wrong_name": bool(wrong),
        "causes": payload["causes"],
        "named": named,
        "failed": failed,
        "told": gates,
        "faults": [f"{f['module']} {f['operator']}" for f in payload["faults"]][:2],
    }


def _words(device: Device) -> dict[str, Any]:
    names = (
        "architecture",
        "dtype",
        "attention",
        "numerics",
        "fault",
        "kind",
        "size",
        "place",
        "honest",
    )
    return {name: getattr(device, name) for name in names} | {"id": device.id}


def _right(wanted: tuple[str, ...], named: list[str]) -> bool:
    """The kind's own name first; where it has none, its call's place says enough."""
    return "" in wanted or any(name in wanted for name in named[:2])


def _claimed(numerics: str, causes: list[str]) -> bool:
    """Whether every cause that was named is one of the device's own."""
    own = numerics.replace("ascend910b", "tanh_gelu+hf32_conv").split("+")
    stems = {name.split("_linear")[0].split("_bmm")[0].split("_conv")[0] for name in own}
    for cause in causes:
        stem = cause.split("_linear")[0].split("_bmm")[0].split("_conv")[0].split("_attention")[0]
        if cause != "vector_noise" and stem not in stems:
            return False
    return True


def in_child(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of ``work`` in a forked process: the rehearsal device stays on in its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _hush()
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


def _hush() -> None:
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)


def visited(mine: list[Device], model: Path, folder: Path, out: Path, end: float) -> None:
    """Judge devices of one model in a forked process, which writes a line after each."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return

    from tests.parity.shared import Bench

    try:
        _hush()
        folder.mkdir(parents=True, exist_ok=True)
        first = mine[0]
        bench = Bench(first.architecture, first.dtype, first.attention, model, folder)
        for device in mine:
            started = time.process_time()
            try:
                told = line(device, bench.judge(device))
            except Exception as error:
                told = {**_words(device), **_refused(error)}
            told["seconds"] = round(time.process_time() - started, 2)
            with out.open("a") as stream:
                stream.write(json.dumps(told, default=str) + "\n")
            if time.monotonic() > end:
                break
    finally:
        os._exit(0)


def _refused(error: Exception) -> dict[str, Any]:
    text = f"{type(error).__name__}: {str(error)[:300]}"
    none = any(word in text for word in NOTHING)
    return {"outcome": "no such device" if none else "not run", "error": text}


def visits(wanted: list[Device]) -> list[list[Device]]:
    """The devices in groups of one model, in an order of which any beginning is a sample."""
    groups: dict[tuple[str, str, str], list[Device]] = {}
    for device in wanted:
        groups.setdefault((device.architecture, device.dtype, device.attention), []).append(device)
    rounds = [
        (start // VISIT, mine[start : start + VISIT])
        for mine in groups.values()
        for start in range(0, len(mine), VISIT)
    ]
    return [mine for _, mine in sorted(rounds, key=lambda pair: pair[0])]


def cases_of(path: Path) -> list[Case]:
    """The list CASES of a file."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.CASES)


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """Lines of finished devices."""
    return [json.loads(row) for path in paths for row in path.read_text().splitlines()]


def main(argv: list[str]) -> int:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--seconds", type=float, default=60.0)
    command.add_argument("--out", type=Path, default=Path("outsider.jsonl"))
    command.add_argument("--cases", type=Path, default=None, help="a file with a list CASES")
    command.add_argument("--limit", type=int, default=64, help="longest input of the models")
    command.add_argument("--only", default="", help="part of a device's id, or several by commas")
    command.add_argument("--every", type=int, default=1, help="of how many devices one is judged")
    command.add_argument("--table", type=Path, nargs="*", default=None)
    args = command.parse_args(argv)
    if args.table:
        print(table(read(args.table)))
        return 0

    import torch
    import transformers.models.auto.modeling_auto  # noqa: F401  imported once, before the forks

    import tests.parity.shared  # noqa: F401  likewise

    torch.set_num_threads(1)
    done = {row["id"] for row in read([args.out])} if args.out.is_file() else set()
    every = list(devices(cases_of(args.cases))) if args.cases else sample(FAULTY)
    words = args.only.split(",")
    wanted = [d for d in every if any(w in d.id for w in words)][:: args.every]
    wanted = [d for d in wanted if d.id not in done]
    end = time.monotonic() + args.seconds

    with tempfile.TemporaryDirectory() as folder:
        models: dict[str, Path] = {}
        for number, mine in enumerate(visits(wanted)):
            if time.monotonic() > end:
                break
            architecture = mine[0].architecture
            if architecture not in models:
                models[architecture] = save(
                    Path(folder) / architecture, architecture, limit=args.limit
                )
            visited(mine, models[architecture], Path(folder) / str(number), args.out, end)
    return 0


def table(lines: list[dict[str, Any]]) -> str:
    """Outcomes by kind, then by kind and size, as tables in Markdown."""
    lines = list({row["id"]: row for row in lines}.values())
    ran = [row for row in lines if row["outcome"] not in ("not run", "no such device")]
    kinds = sorted({row["kind"] for row in ran}, key=lambda kind: ("honest" not in kind, kind))
    heads = "| devices | right | false passes | false alarms | wrong names |\n"
    rows = [f"| kind {heads}|---|---|---|---|---|---|"]
    for kind in [*kinds, None]:
        mine = [row for row in ran if kind in (row["kind"], None)]
        rows.append(f"| {kind or 'all'} {_counts(mine)}")

    rows += ["", f"| kind | size {heads}|---|---|---|---|---|---|---|"]
    for kind in kinds:
        for size in sorted({row["size"] for row in ran if row["kind"] == kind}):
            mine = [row for row in ran if (row["kind"], row["size"]) == (kind, size)]
            rows.append(f"| {kind} | `{size}` {_counts(mine)}")

    refused = [row for row in lines if row["outcome"] == "not run"]
    none = sum(row["outcome"] == "no such device" for row in lines)
    rows += ["", f"{none} devices cannot be: the model has no such thing. Not run: {len(refused)}."]
    rows += [f"- {row['id']}: {row['error']}" for row in refused[:10]]
    return "\n".join(rows)


def _counts(mine: list[dict[str, Any]]) -> str:
    words = ("right", "false pass", "false alarm")
    counts = [sum(row["outcome"] == word for row in mine) for word in words]
    names = sum(row.get("wrong_name", False) for row in mine)
    return f"| {len(mine)} | {counts[0]} | {counts[1]} | {counts[2]} | {names} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
