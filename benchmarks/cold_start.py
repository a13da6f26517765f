"""Cold starts, each in a new process and taken in turn: goemo's commands, and the script with
transformers.pipeline that anybody would write.

    python benchmarks/cold_start.py --rounds 11

Prints the medians of wall-clock and processor time, and each ratio to the script with the interval
that holds 90 % of the ratios of the same round.
"""

import argparse
import os
import sys

from turns import Command, in_turn, show

from goemo_utils.records.step import EMBEDDED

TEXT = "I love it"
SCRIPT = (
    "from transformers import pipeline\n"
    f"classify = pipeline('text-classification', model={str(EMBEDDED)!r}, top_k=None)\n"
    f"print(classify([{TEXT!r}])[0][0])"
)
GOEMO = [sys.executable, "-m", "goemo_utils.cli"]
BASELINE = "script"
COMMANDS = {
    BASELINE: [sys.executable, "-c", SCRIPT],
    "goemo predict --text": [*GOEMO, "predict", "--text", TEXT],
    "import torch": [sys.executable, "-c", "import torch"],
    "goemo --help": [*GOEMO, "--help"],
    "goemo list": [*GOEMO, "list"],
    "goemo doctor --help": [*GOEMO, "doctor", "--help"],
}


def main() -> int:
    """Measure, and print a line a command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=11, help="runs of each command (default 11)")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    commands = {name: Command(words) for name, words in COMMANDS.items()}
    show(in_turn(commands, options.rounds), BASELINE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
