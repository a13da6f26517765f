"""The operator table of the simulated CANN: PyTorch's operator database on the genuine torch_npu,
against the CPU.

    python -m goemo_utils.cann.selftest --results table.jsonl --markdown docs/cann-operators.md

Stopped and called again with the same file of results, it goes on where it was.

Operators are tried in children, some forty to a child; a child that dies is a result of the
operator that it was at, and the others go on in a new one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from goemo_utils import cann

TOGETHER = 40
FLOOR = 0.60
"""Share of the operators that pass on the CPU which must agree, as was asked of the first table."""
RANDOM = (
    "bernoulli",
    "cauchy",
    "exponential",
    "geometric",
    "log_normal",
    "multinomial",
    "native_dropout_backward",
    "nn.functional.alpha_dropout",
    "nn.functional.dropout",
    "nn.functional.dropout2d",
    "nn.functional.dropout3d",
    "nn.functional.feature_alpha_dropout.with_train",
    "nn.functional.multi_head_attention_forward",
    "nn.functional.rrelu",
    "normal",
    "normal.in_place",
    "normal.number_mean",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "uniform",
)
"""Operators of random numbers: a device draws its own, so only shape and dtype are compared."""


def run_all(names: Sequence[str], samples: int, timeout: float) -> Iterator[dict[str, Any]]:
    """Try each operator; yields the fields of its Trial, with what torch_npu asked CANN for."""
    _prepare()
    context = multiprocessing.get_context("fork")
    waiting = list(names)
    while waiting:
        together, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
        receiver, sender = context.Pipe(duplex=False)
        process: Any = context.Process(target=_child, args=(together, samples, sender))
        process.start()
        sender.close()

        told = list(_told(receiver, timeout))
        yield from told
        if len(told) < len(together):
            late = process.is_alive()
            process.kill()
            process.join()
            yield _lost(together[len(told)], late, process.exitcode)
            waiting = together[len(told) + 1 :] + waiting
        process.join()


def _prepare() -> None:
    os.environ["TASK_QUEUE_ENABLE"] = "0"
    os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
    cann.enable()
    import torch
    import torch_npu

    from goemo_utils.rehearsal import trial

    torch_npu.npu.use_compatible_impl(True)
    torch_npu.npu.conv.allow_hf32 = False  # it is on by default
    torch.set_num_threads(1)
    trial.UNINITIALISED.update(RANDOM)
    trial.database()


def _child(names: Sequence[str], samples: int, sender: Connection) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    from goemo_utils.cann import calls
    from goemo_utils.rehearsal.trial import try_operator

    for name in names:
        calls.CALLS.clear()
        calls.MISSED.clear()
        tried = asdict(try_operator(name, samples, ("float32",)))
        sender.send({**tried, "asked": sorted(calls.CALLS), "missed": sorted(calls.MISSED)})
    sender.close()
    os._exit(0)


def _told(receiver: Connection, timeout: float) -> Iterator[dict[str, Any]]:
    while receiver.poll(timeout):
        try:
            yield receiver.recv()
        except EOFError:
            return


def _lost(name: str, late: bool, code: int | None) -> dict[str, Any]:
    verdict = "timeout" if late else "died"
    message = "it ran past its time limit" if late else f"the process ended with code {code}"
    empty = {"samples": 0, "backwards": 0, "wrong": 0, "refused": 0, "asked": [], "missed": []}
    return {"name": name, "verdict": verdict, "message": message, **empty}


def markdown(trials: Sequence[dict[str, Any]], samples: int) -> str:
    """The page: the figures, every operator that does not agree with its reason, and the rest."""
    lines = [
        "# Operators of the simulated CANN",
        "",
        "Made by `python -m goemo_utils.cann.selftest` with the genuine torch_npu 2.13.0 on",
        f"stand-ins for CANN: up to {samples} float32 samples of each operator that PyTorch lists,",
        "forward and backward, against the CPU. This is SIMULATED: it says what torch_npu asks for",
        "and what these stand-ins answer, and nothing about the operators of a real card.",
        "",
        sentence(trials),
        "",
    ]
    for verdict, title in (
        ("wrong", "Another answer than the CPU's"),
        ("died", "Ended the process"),
        ("timeout", "Ran past the time limit"),
        ("refused", "Refused with an error"),
    ):
        chosen = [trial for trial in trials if trial["verdict"] == verdict]
        if chosen:
            lines += [
                f"## {title}",
                "",
                "| operator | no kernel for | first message |",
                "|---|---|---|",
            ]
            lines += [_row(trial) for trial in chosen] + [""]

    agreeing = [trial for trial in trials if trial["verdict"] == "agrees"]
    lines += [
        "## Agree with the CPU",
        "",
        "| operator | backward | asks CANN for |",
        "|---|---|---|",
    ]
    for trial in agreeing:
        asked = " ".join(name.removeprefix("aclnn") for name in trial["asked"]) or "none of its own"
        lines.append(f"| `{trial['name']}` | {'yes' if trial['backwards'] else ''} | {asked} |")

    return "\n".join([*lines, ""])


def _row(trial: dict[str, Any]) -> str:
    missed = " ".join(trial["missed"])
    said = " ".join(trial["message"].replace("|", "/").split())[:160]
    return f"| `{trial['name']}` | {missed} | {said} |"


def sentence(trials: Sequence[dict[str, Any]]) -> str:
    """The figure in words."""
    counts = Counter(trial["verdict"] for trial in trials)
    comparable = counts.total() - counts["not on the CPU"]
    others = ", ".join(f"{counts[v]} {v}" for v in ("refused", "wrong", "died", "timeout"))
    share = 100 * counts["agrees"] / max(comparable, 1)
    return (
        f"{counts['agrees']} of {comparable} operators that pass on the CPU agree ({share:.1f} %);"
        f" {others}; {counts['not on the CPU']} have nothing to compare."
    )


def earlier(results: Path | None) -> list[dict[str, Any]]:
    """The trials that an interrupted table left in its file; a line that it did not finish is
    dropped from the file.
    """
    if results is None or not results.is_file():
        return []
    whole, _, _rest = results.read_text(encoding="utf-8").rpartition("\n")
    results.write_text(whole + "\n" * bool(whole), encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the table; returns 0 if enough agree and none died, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="operators by their full name")
    parser.add_argument("--samples", type=int, default=2, help="samples an operator (2)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds an operator may take")
    parser.add_argument(
        "--results", type=Path, help="a .jsonl file of the results: begun, or gone on with"
    )
    parser.add_argument("--markdown", type=Path, help="where to write the table")
    options = parser.parse_args(argv)
    from goemo_utils.rehearsal.trial import database

    trials = earlier(options.results)
    tried = {trial["name"] for trial in trials}
    waiting = [name for name in options.only or list(database()) if name not in tried]
    for trial in run_all(waiting, options.samples, options.timeout):
        trials.append(trial)
        if options.results:
            with options.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(trial) + "\n")
        if trial["verdict"] in ("wrong", "died", "timeout"):
            print(f"{trial['verdict']:8s} {trial['name']}: {trial['message']}", flush=True)

    print(sentence(trials))
    if options.markdown:
        options.markdown.write_text(markdown(trials, options.samples), encoding="utf-8")
    verdicts = Counter(trial["verdict"] for trial in trials)
    comparable = len(trials) - verdicts["not on the CPU"]
    enough = verdicts["agrees"] >= FLOOR * comparable
    return 0 if enough and not verdicts["died"] + verdicts["timeout"] else 1


if __name__ == "__main__":
    sys.exit(main())
