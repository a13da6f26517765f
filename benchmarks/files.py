"""Short texts file to file with `goemo predict`, this tree beside an earlier one.

    git worktree add /some/where bfa0771
    python benchmarks/files.py --old /some/where --texts 100000 --rounds 5

The embedded model, real comments of the package's own sample repeated to the number asked for;
memory is the largest of the process.
"""

import argparse
import itertools
import os
import sys
import tempfile
from pathlib import Path

from sample import real_texts
from turns import Command, in_tree, in_turn, show

HERE = Path(__file__).resolve().parents[1]


def write_texts(path: Path, count: int) -> None:
    """So many short texts, one a line."""
    with path.open("w", encoding="utf-8") as out:
        for number, text in zip(range(count), itertools.cycle(real_texts()), strict=False):
            out.write(f"{' '.join(text.split())} {number}\n")


def main() -> int:
    """Measure, and print a line a tree."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--old", help="a checkout of the earlier build; left out without one")
    add("--texts", type=int, default=100_000)
    add("--suffix", default="jsonl", choices=("jsonl", "csv", "parquet"))
    add("--dtype", default="float32")
    add("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch) / "texts.txt"
        write_texts(texts, options.texts)

        def predict(tree: str, name: str) -> Command:
            output = f"{scratch}/{name}.{options.suffix}"
            files = ("--batch_file", str(texts), "--output", output)
            words = ("predict", "--dtype", options.dtype, *files)
            return in_tree(tree, *words, python=sys.executable)

        commands = {"this build": predict(str(HERE), "new")}
        if options.old:
            commands = {"earlier build": predict(options.old, "old"), **commands}
        show(in_turn(commands, options.rounds), next(iter(commands)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
