"""The chain's steps at RoBERTa-base size, this tree beside an earlier one.

    git worktree add /some/where bfa0771
    python benchmarks/base_size.py --old /some/where --rounds 2 --kept times.json

Random weights in a folder of safetensors, the built-in texts, `hf32` on the rehearsal device, fused
attention. Each run is a whole chain that is ended when 03_parity (with --throughput, 04_throughput)
has left its record; a step lasts from the record before it to its own, its kernel's start included.
Processor time is that of all that ran until then, and memory the largest process's. Rounds are
added to the file of --kept, so that a long measurement can be cut into pieces.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from turns import Command, in_tree, ratio, start

from goemo_utils.throughput.bench import _model

HERE = Path(__file__).resolve().parents[1]
STEPS = ("00_environment", "01_load", "02_smoke", "03_parity")
LAST = "04_throughput"
TOKENIZER = "tokenizer_config.json"
LONGEST = 600  # seconds of a step


def write_weights(folder: Path, tokens: int) -> int:
    """A RoBERTa-base of random weights with the embedded model's tokenizer, which cuts texts off
    after so many tokens; the bytes of its weights in float64.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with _model("base") as name:
        source = Path(name.removeprefix("random:"))
        shutil.copytree(source, folder, dirs_exist_ok=True)
    settings = json.loads((folder / TOKENIZER).read_text(encoding="utf-8"))
    settings["model_max_length"] = tokens
    (folder / TOKENIZER).write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    return 8 * sum(tensor.numel() for tensor in model.parameters())


def chain(tree: str, model: Path, root: Path, numerics: str) -> Command:
    """The chain of one tree."""
    settings = {
        "output_root": root,
        "run_id": "base",
        "model": model,
        "attn_implementation": "sdpa",
        "rehearsal_numerics": numerics,
    }
    words = [word for name, value in settings.items() for word in ("-p", name, str(value))]
    return in_tree(tree, "run", *words, python=sys.executable)


def timed(command: Command, folder: Path, steps: list[str]) -> dict[str, float]:
    """Seconds of each step, processor seconds and MiB of the largest process of a chain that is
    ended after the last of ``steps``.
    """
    child = start(command)
    seconds: dict[str, float] = {}
    before = time.perf_counter()
    for step in steps:
        while not (folder / f"{step}.json").exists():
            if child.poll() is not None or time.perf_counter() - before > LONGEST:
                raise SystemExit(f"{' '.join(command.words)} left no {step}.json")
            time.sleep(0.02)
        now = time.perf_counter()
        seconds[step], before = now - before, now

    child.send_signal(signal.SIGTERM)
    _, _, used = os.wait4(child.pid, 0)
    child.returncode = 0
    seconds["processor"] = used.ru_utime + used.ru_stime
    seconds["memory"] = used.ru_maxrss / 1024
    return seconds


def measure(
    trees: dict[str, str], model: Path, scratch: Path, options: argparse.Namespace
) -> dict[str, list[dict[str, float]]]:
    """Each tree's rounds, forwards and backwards, those of earlier calls first."""
    kept = Path(options.kept) if options.kept else None
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
    if kept and kept.exists():
        rounds |= json.loads(kept.read_text(encoding="utf-8"))

    steps = [*STEPS, LAST] if options.throughput else list(STEPS)
    for number in range(options.rounds):
        names = list(trees)
        for name in names if number % 2 else reversed(names):
            root = scratch / "runs"
            command = chain(trees[name], model, root, options.numerics)
            rounds[name].append(timed(command, root / "base", steps))
            shutil.rmtree(root)
            said = {step: round(value, 1) for step, value in rounds[name][-1].items()}
            print(f"{name}: {said}", flush=True)
            if kept:
                kept.write_text(json.dumps(rounds), encoding="utf-8")
    return rounds


def show(rounds: dict[str, list[dict[str, float]]], weights: int) -> None:
    """A line a step and tree: medians, and the ratio to the first tree."""
    base: Any = next(iter(rounds.values()))
    print(f"{len(base)} rounds, {os.cpu_count()} cores; medians, kernels included")
    for name, runs in rounds.items():
        for step in runs[0]:
            values = [run[step] for run in runs]
            middle = statistics.median(values)
            beside = f"{middle:7.1f} s"
            if step == "memory":
                share = middle * 2**20 / weights
                beside = f"{middle:5.0f} MiB, {share:.2f} of the weights in float64"
            print(f"{name:14s} {step:15s} {beside}  {ratio(values, [run[step] for run in base])}")


def main() -> int:
    """Measure, and print a line a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", help="a checkout of the earlier build; left out without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numerics", default="hf32")
    parser.add_argument(
        "--tokens", type=int, default=512, help="the longest input: RoBERTa-base's (the default)"
    )
    parser.add_argument("--throughput", action="store_true", help="04_throughput too")
    parser.add_argument("--kept", metavar="FILE", help="adds the rounds to those of this file")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    trees = {"this build": str(HERE)}
    if options.old:
        trees = {"earlier build": options.old, **trees}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        weights = write_weights(scratch / "model", options.tokens)
        show(measure(trees, scratch / "model", scratch, options), weights)
    return 0


if __name__ == "__main__":
    sys.exit(main())
