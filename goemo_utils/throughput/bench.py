"""Measure the ways of running a classifier against each other, in turns, in one process, with
parity beside every rate.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError, TextsError
from goemo_utils.forward import thresholds, worker
from goemo_utils.records.record import write_json
from goemo_utils.throughput import conditions, figures, statistics
from goemo_utils.throughput.ladder import rungs

EPILOG = """\
The model "base" has the size of RoBERTa-base (12 layers, width 768), random weights and the
embedded model's tokenizer: its speed is that of the real one, its answers mean nothing, and its
reduced-precision errors must not be quoted. Every row's answers are compared with those of padded
eager float32 batches on the CPU in the same run. Ratios come from rounds run in turns, so a busy
machine widens their intervals and shifts all rows alike; the rates themselves are those of the
machine as it was.
"""
WAYS: dict[str, dict[str, Any]] = {
    "padded": {"method": "padded"},
    "pipeline-1": {"method": "pipeline", "batch_size": 1},
    "pipeline-16": {"method": "pipeline", "batch_size": 16},
    "sorted": {"method": "sorted"},
    "packed": {"method": "classifier"},
    "onnx": {"method": "onnx"},
    "bf16": {"method": "sorted", "dtype": "bfloat16"},
    "packed-bf16": {"method": "classifier", "dtype": "bfloat16"},
    "packed-int8": {"method": "classifier", "dtype": "int8"},
    "onnx-int8": {"method": "onnx", "dtype": "int8"},
    "openvino": {"method": "openvino"},
    "openvino-bf16": {"method": "openvino", "dtype": "bfloat16"},
    "openvino-int8": {"method": "openvino", "dtype": "int8"},
}
DEFAULT = (
    "padded",
    "pipeline-16",
    "sorted",
    "packed",
    "onnx",
    "packed-bf16",
    "packed-int8",
    "onnx-int8",
    "openvino",
    "openvino-bf16",
    "openvino-int8",
)
AGAINST = "pipeline-16"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``goemo bench``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(filter(None, (EPILOG, parser.epilog)))
    parser.add_argument(
        "--model",
        default="embedded",
        help="embedded (default), base, a local folder, a hub id, or random:<one of those>",
    )

    parser.add_argument(
        "--texts", metavar="FILE", help="a file of texts; without it the built-in 23"
    )
    parser.add_argument("--column", metavar="NAME", help="the column of texts")
    parser.add_argument(
        "--limit", type=int, default=256, metavar="N", help="use the first N texts (default 256)"
    )

    parser.add_argument(
        "--ways",
        default=",".join(DEFAULT),
        metavar="A,B",
        help=f"what to measure: {', '.join(WAYS)} (default {','.join(DEFAULT)})",
    )
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="also measure on npu:N, cuda:N or rehearsal (which gets no figures)",
    )

    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "float16", "bfloat16"),
        help="dtype on that device (default float32)",
    )
    parser.add_argument(
        "--ladder",
        action="store_true",
        help="also measure the rungs: length sorting, dtype, attention, compile, int8",
    )

    parser.add_argument(
        "--grid",
        action="store_true",
        help=(
            "also measure numbers of texts against fixed lengths, in one padded batch and as the"
            " classifier runs them"
        ),
    )

    parser.add_argument(
        "--mlperf",
        metavar="FOLDER",
        help=(
            "also run shortened MLPerf scenarios and keep their logs in FOLDER (needs"
            " mlcommons-loadgen)"
        ),
    )

    parser.add_argument(
        "--against",
        default=AGAINST,
        metavar="WAY",
        help=f"the row that ratios are to (default {AGAINST}, where it is measured)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds at least (default 5)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="seconds a row at least (default 1)"
    )

    parser.add_argument(
        "--max_seconds",
        type=float,
        default=900.0,
        help="stop the rounds after this long in all (default 900)",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument(
        "--batch_size",
        type=int,
        default=16,
        help="of the ways with a fixed batch size (default 16)",
    )

    parser.add_argument(
        "--attn_implementation",
        default="eager",
        choices=("eager", "sdpa"),
        help="of every way that does not name its own (default eager)",
    )
    parser.add_argument(
        "--max_length",
        type=int,
        default=512,
        help="tokens a text at most (default 512, or the model's own limit)",
    )

    parser.add_argument(
        "--threshold",
        type=float,
        help="for counting decisions that changed (default: the model's own thresholds, else 0.3)",
    )
    parser.add_argument(
        "--task",
        default="auto",
        choices=("auto", "multi_label", "single_label", "encoder"),
        help="what the model does, where its config.json does not say (default auto)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--figures",
        metavar="FOLDER",
        help="draw latency, and grid and ladder where asked for, as SVG with their tables as CSV",
    )

    parser.add_argument(
        "--json", metavar="FILE", help="write the whole result, raw samples included"
    )


def run(args: argparse.Namespace) -> int:
    """Measure as asked, print the table, and return 0; raises GoemoError with one sentence for bad
    input.
    """
    _check(args)
    arms, baselines = _arms(args)
    texts = _texts(args)

    with _model(args.model) as model, tempfile.TemporaryDirectory(prefix="goemo-bench-") as folder:
        job = {
            "kind": "throughput",
            "model": model,
            "task": args.task,
            "texts": texts,
            "arms": arms,
            "baselines": baselines,
            "dtype": args.dtype,
            "batch_size": args.batch_size,
            "max_length": args.max_length,
            "attn_implementation": args.attn_implementation,
            "threshold": args.threshold,
            "seed": args.seed,
            "threads": args.threads,
            "seconds": args.seconds,
            "min_rounds": args.rounds,
            "max_seconds": args.max_seconds,
            "warm_up_texts": None if args.device else 32,
            "grid": {} if args.grid else None,
            "mlperf": args.mlperf and str(Path(args.mlperf).resolve()),
        }

        results = worker.run(
            job, Path(folder) / "log", lambda line: print(f"  {line}", file=sys.stderr)
        )

    print(table(results, args.model, args.against))
    if args.json:
        write_json(Path(args.json), results)
    if args.figures:
        for path in figures.write(results, Path(args.figures)):
            print(f"wrote {path}")

    return 0


def table(results: dict[str, Any], model: str, against: str) -> str:
    """The result as text: a line a way with its rate, its ratio and its parity, then what a reader
    must know.
    """
    rows = results["rows"]
    base = next((row for row in rows if row["id"] == against and row["median"] is not None), None)
    head = (
        "way",
        "configuration",
        "texts/s",
        "95 % interval",
        f"ratio to {against}" if base else "ratio",
        "by CPU time",
        "max diff",
        "top-1",
        "sets",
        "padding",
    )

    lines = [head, *(_line(row, base) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    protocol, worker_, machine = results["protocol"], results["worker"], results["conditions"]
    stopped = (
        ""
        if protocol["complete"]
        else " (INCOMPLETE: stopped by --max_seconds before every row had its rounds and seconds)"
    )

    text += [
        "",
        (
            f"{model}; {protocol['block_texts'] * protocol['blocks']} texts in {protocol['blocks']}"
            f" block(s), {protocol['rounds']} rounds in turns{stopped}; {worker_['threads']}"
            f" threads on {worker_['cores']} cores of {worker_['cpu']}"
            f" ({worker_['cpu_capability']}), torch {worker_['torch']}."
        ),
        (
            "by CPU time: how many times less processor time a text costs, all threads together; a"
            " busy neighbour disturbs it less than the clock."
        ),
        (
            "max diff, top-1 and sets: against the first row; texts whose most probable label, or"
            " set of labels above the threshold, changed."
        ),
        f"Load average {_load(machine['load_average_before'])} before,"
        f" {_load(machine['load_average_after'])} after; other processes used"
        f" {_percent(machine['other_processes_share'])} of the CPU time,"
        f" {_percent(machine['steal_share'])} was stolen."
        + (" The machine was BUSY: trust the ratios, not the rates." if machine["busy"] else ""),
    ]

    for name in ("note", "reason"):
        said = dict.fromkeys(row[name] for row in rows if row.get(name))
        text += [
            f"{', '.join(row['id'] for row in rows if row.get(name) == words)}: {words}."
            for words in said
        ]

    text += _rest(results)
    return "\n".join(text)


def ratio_to(
    row: dict[str, Any], base: dict[str, Any] | None
) -> tuple[float, tuple[float, float]] | None:
    """Ratio of two rows' rates with its interval from the paired rounds."""
    if base is None or row["median"] is None:
        return None
    return statistics.ratio(row["raw"], base["raw"])


def cpu_ratio_to(
    row: dict[str, Any], base: dict[str, Any] | None
) -> tuple[float, tuple[float, float]] | None:
    """How many times less processor time a text costs than in ``base``, with its interval from the
    paired rounds.
    """
    if base is None or row["median"] is None or not row["device"].startswith("cpu"):
        return None
    return statistics.ratio(base["cpu_raw"], row["cpu_raw"])


def _ratio(told: tuple[float, tuple[float, float]] | None) -> str:
    return "–" if told is None else f"{told[0]:.2f} ({told[1][0]:.2f} – {told[1][1]:.2f})"


def _line(row: dict[str, Any], base: dict[str, Any] | None) -> tuple[str, ...]:
    if row["median"] is None:
        rate = interval = "–"
    else:
        rate, interval = f"{row['median']:.1f}", f"{row['ci95'][0]:.1f} – {row['ci95'][1]:.1f}"

    cells = (
        row["id"],
        row["configuration"],
        rate,
        interval,
        _ratio(ratio_to(row, base)),
        _ratio(cpu_ratio_to(row, base)),
    )

    parity = row.get("parity")
    if not parity:
        return *cells, "–", "–", "–", "–"
    counts = [
        "–" if parity[name] is None else f"{parity[name]} of {parity['n_texts']}"
        for name in ("top1_changed", "sets_changed")
    ]

    return (
        *cells,
        f"{float(parity['max_difference']):.1e}",
        *counts,
        f"{100 * row['padding_share']:.0f} %",
    )


def _rest(results: dict[str, Any]) -> list[str]:
    """The headline of a device, its grid and its MLPerf summaries, where they were asked for."""
    text = _limit(results.get("products") or {}) + _fastest(results["rows"])
    up = results["speedup"]

    if up["value"] is not None:
        text += [
            "",
            (
                f"{up['id']} is {up['value']:.1f} times ({up['ci95'][0]:.1f} – {up['ci95'][1]:.1f})"
                f" as fast as {up['baseline']} on {up['cores']} cores."
            ),
        ]
    elif any(not row["device"].startswith("cpu") for row in results["rows"]):
        text += ["", f"No speed-up is quoted: {up['reason']}."]

    for cell in results.get("grid") or []:
        rate = (
            f"{cell['median']:.0f} texts/s, {cell['tokens_per_second']:.0f} tokens/s"
            if cell["median"] is not None
            else cell["reason"]
        )
        text.append(
            f"{cell['id']}: {'texts' if cell['own_batches'] else 'batch'} {cell['batch_size']} ×"
            f" {cell['length']} tokens: {rate}"
        )

    for scenario in results.get("mlperf") or []:
        values = "".join(
            f"; {name} {value:g}" for name, value in (scenario["values"] or {}).items()
        )
        text.append(
            f"MLPerf {scenario['scenario']}, {scenario['id']}:"
            f" {scenario['result'] or scenario['reason']}{values}; {scenario['compliance']}."
        )

    return text


def _fastest(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The fastest float32 way on the CPU against the next one, so that neither has to be the row of
    comparison.
    """
    own = [
        row
        for row in rows
        if row["median"] is not None
        and row["device"].startswith("cpu")
        and row["dtype"] == "float32"
    ]

    ranked = sorted(own, key=lambda row: statistics.quartiles(row["cpu_raw"])[1])
    # A rung of the ladder can be one of the ways once more.
    others = [row for row in ranked[1:] if row["configuration"] != ranked[0]["configuration"]]
    if not others:
        return []
    first, second = ranked[0], others[0]
    value, interval = statistics.ratio(second["cpu_raw"], first["cpu_raw"])
    rounds = min(len(first["cpu_raw"]), len(second["cpu_raw"]))
    doubt = statistics.doubt(value, interval, rounds)
    ending = f" ({doubt})." if doubt else "."

    return [
        f"Fastest in float32 by CPU time: {first['id']}, {_ratio((value, interval))} times"
        f" {second['id']}; by the clock {_ratio(ratio_to(first, second))} times{ending}"
    ]


def _limit(told: dict[str, Any]) -> list[str]:
    """What the machine's own products of matrices allow, so that a reader can tell a slow way from
    a slow processor.
    """
    rates = {
        name.replace("_", " "): (rate, told["texts_per_second"][name])
        for name, rate in told.get("rates", {}).items()
        if rate
    }
    if not rates:
        return []

    rows, width, out = told["shape"]

    return [
        f"Products of {rows} x {width} by {width} x {out} at best:"
        f" {', '.join(f'{name} {rate:.0f}' for name, (rate, _) in rates.items())} GFLOP/s. A text"
        f" takes {told['gflop_per_text']:.3g} GFLOP if every token passes every layer, so these"
        f" rates allow {', '.join(f'{name} {most:.0f}' for name, (_, most) in rates.items())}"
        " texts/s."
    ]


def _texts(args: argparse.Namespace) -> list[str]:
    from goemo_utils.texts.builtin import BUILTIN, read_texts

    texts = [
        text
        for text in (
            read_texts(Path(args.texts), args.column, args.limit)
            if args.texts
            else BUILTIN[: args.limit]
        )
        if text.strip()
    ]
    if not texts:
        raise TextsError(f"There are no texts in {args.texts}: nothing can be timed.")
    return texts


def _check(args: argparse.Namespace) -> None:
    """Raise ParamsError for a number that cannot be meant and for a place that cannot be written,
    before anything is measured.
    """
    for name in ("limit", "rounds", "batch_size", "max_length", "threads"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise ParamsError(f"--{name} is {value}: it must be at least 1.")

    if (args.threads or 1) > conditions.cores():
        raise ParamsError(
            f"--threads is {args.threads} and this process may use {conditions.cores()} cores:"
            " expected no more threads than cores."
        )

    if not 0 <= args.seconds < math.inf or not args.max_seconds > 0:
        raise ParamsError(
            f"--seconds is {args.seconds:g} and --max_seconds {args.max_seconds:g}: expected"
            " seconds from 0 and max_seconds above 0."
        )

    if args.seed < 0:
        raise ParamsError(f"--seed is {args.seed}: it must be at least 0.")
    if args.column is not None and not args.texts:
        raise ParamsError(
            f"--column '{args.column}' belongs to a file, and no --texts was given: expected both,"
            " or neither."
        )

    thresholds.effective(args.threshold, {})
    _check_places(args)


def _check_places(args: argparse.Namespace) -> None:
    """Make the folders that results go to; ParamsError for one that cannot be written."""
    for name in ("figures", "mlperf", "json"):
        if not (place := getattr(args, name)):
            continue
        folder = Path(place).parent if name == "json" else Path(place)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParamsError(
                f"--{name} '{place}' cannot be written: {error.strerror or error}. Give another"
                " place."
            ) from None

    if args.json and Path(args.json).is_dir():
        raise ParamsError(f"--json '{args.json}' is a folder: give the name of a file.")


def _arms(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Arms that must run and baselines that may be absent. Padded batches come first: they are the
    reference of the parity rows.
    """
    names = list(dict.fromkeys(name.strip() for name in args.ways.split(",") if name.strip()))
    if unknown := [name for name in names or [args.ways] if name not in WAYS]:
        raise ParamsError(
            f"Unknown way '{unknown[0]}' in --ways: expected some of {', '.join(WAYS)}."
        )

    arms = [{"id": "padded", "device": "cpu", **WAYS["padded"]}]
    baselines = [{"id": name, "device": "cpu", **WAYS[name]} for name in names if name != "padded"]

    if args.device:
        arms += [
            {"id": "device", "device": args.device, "method": "padded"},
            {
                "id": "device-classifier",
                "device": args.device,
                "method": "classifier",
                "dtype": args.dtype,
            },
        ]

    if args.ladder:
        baselines += [
            {**rung, "id": f"ladder-{rung['id']}"} for rung in rungs(args.device or "cpu")
        ]

    ids = [arm["id"] for arm in arms + baselines]
    if args.against not in (*ids, AGAINST):
        raise ParamsError(
            f"--against names '{args.against}', which is not measured: expected one of"
            f" {', '.join(ids)}."
        )

    return arms, baselines


@contextmanager
def _model(name: str) -> Iterator[str]:
    """The model to load: "base" becomes a temporary folder with the embedded tokenizer and a
    RoBERTa-base configuration.
    """
    if name != "base":
        yield name
        return

    from goemo_utils.forward.checkpoint import locate

    _, embedded, _ = locate("embedded")
    config = json.loads((embedded / "config.json").read_text(encoding="utf-8"))
    config |= {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "max_position_embeddings": 514,
    }

    with tempfile.TemporaryDirectory(prefix="goemo-base-") as folder:
        for file in embedded.glob("*"):
            if file.suffix in (".json", ".txt") and file.name != "config.json":
                (Path(folder) / file.name).write_bytes(file.read_bytes())
        (Path(folder) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        yield f"random:{folder}"


def _load(load: Sequence[float] | None) -> str:
    return "unknown" if load is None else f"{load[0]:.1f}"


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.0f} %"
