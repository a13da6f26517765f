"""The chain's steps at RoBERTa-base size, this tree beside an earlier one.

    git worktree add /some/where bfa0771
    python benchmarks/base_size.py --old /some/where --rounds 3

Random weights in a folder of safetensors, the built-in texts, `hf32` on the rehearsal device, fused
attention. Each round of a tree runs 00_environment, 01_load, 02_smoke and 03_parity, and
04_throughput with --throughput, in a run of its own, one command a step: its seconds hold the start
of the command, the workers and the notebook's kernel. Memory is the largest process's. The later
build's analysis is the longer one (docs/parity.md, "Measured: cost").
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from turns import Command, Times, in_tree, ratio, run

from goemo_utils.throughput.bench import _model

HERE = Path(__file__).resolve().parents[1]
STEPS = ("00_environment", "01_load", "02_smoke", "03_parity")
LAST = "04_throughput"


def write_weights(folder: Path) -> int:
    """A RoBERTa-base of random weights with the embedded model's tokenizer; the bytes of its
    weights in float64.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    with _model("base") as name:
        source = Path(name.removeprefix("random:"))
        shutil.copytree(source, folder, dirs_exist_ok=True)
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_config(config)
    model.save_pretrained(folder)
    return 8 * sum(tensor.numel() for tensor in model.parameters())


def chain(tree: str, model: Path, root: Path, options: argparse.Namespace) -> list[Command]:
    """The commands of one tree's round, one a step: the next goes on with the same run."""
    settings = {
        "output_root": root,
        "run_id": "base",
        "model": model,
        "attn_implementation": "sdpa",
        "rehearsal_numerics": options.numerics,
    }
    words = [word for name, value in settings.items() for word in ("-p", name, str(value))]
    steps = [*STEPS, LAST] if options.throughput else STEPS
    return [in_tree(tree, "run", *words, "--only", step, python=sys.executable) for step in steps]


def measure(
    trees: dict[str, str], model: Path, scratch: Path, options: argparse.Namespace
) -> dict[str, dict[str, Times]]:
    """Times of each tree's steps, a round after the other, forwards and backwards."""
    steps = [*STEPS, LAST] if options.throughput else list(STEPS)
    measured = {name: {step: Times() for step in steps} for name in trees}
    for number in range(options.rounds):
        names = list(trees)
        for name in names if number % 2 else reversed(names):
            root = scratch / f"{name.replace(' ', '-')}-{number}"
            for step, command in zip(steps, chain(trees[name], model, root, options), strict=True):
                times = measured[name][step]
                run(Command(command.words, command.environment, command.folder, (0, 1)), times)
            print(f"round {number}, {name}: " + told(measured[name]), flush=True)
            shutil.rmtree(root)
    return measured


def told(times: dict[str, Times]) -> str:
    return ", ".join(f"{step} {one.wall[-1]:.1f} s" for step, one in times.items())


def main() -> int:
    """Measure, and print a line a step."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", help="a checkout of the earlier build; left out without one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numerics", default="hf32")
    parser.add_argument("--throughput", action="store_true", help="04_throughput too")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    trees = {"this build": str(HERE)}
    if options.old:
        trees = {"earlier build": options.old, **trees}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        model = scratch / "model"
        weights = write_weights(model)
        measured = measure(trees, model, scratch, options)

    base = next(iter(measured.values()))
    print(f"{options.rounds} rounds, {os.cpu_count()} cores; medians of a step with its kernel")
    for name, steps in measured.items():
        for step, times in steps.items():
            memory = statistics.median(times.memory)
            print(
                f"{name:14s} {step:15s} {statistics.median(times.wall):6.1f} s"
                f"  processor {statistics.median(times.processor):6.1f} s"
                f"  largest process {memory:5.0f} MiB ({memory * 2**20 / weights:.2f} of the"
                f" weights in float64)  wall {ratio(times.wall, base[step].wall)}"
                f"  processor {ratio(times.processor, base[step].processor)}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
