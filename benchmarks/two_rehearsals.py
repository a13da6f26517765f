"""The default run with the genuine torch_npu on a SIMULATED CANN beside the one of PyTorch alone.

goemo cann --fetch
python benchmarks/two_rehearsals.py --rounds 5
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from turns import in_tree, in_turn, show

HERE = Path(__file__).resolve().parents[1]
ENGINES = ("pytorch", "torch_npu")


def main() -> int:
    """Measure, and print a line an engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    with tempfile.TemporaryDirectory() as scratch:
        commands = {}
        for engine in ENGINES:
            words = ["run", "--force", "-p", "rehearsal_engine", engine]
            words += ["-p", "output_root", f"{scratch}/out", "-p", "run_id", engine]
            commands[engine] = in_tree(str(HERE), *words, python=sys.executable)
        show(in_turn(commands, options.rounds), ENGINES[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
