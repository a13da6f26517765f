"""The default run of this tree beside an earlier one's, and with the CPU's own arithmetic.

    git worktree add /some/where bfa0771
    python benchmarks/default_run.py --old /some/where --rounds 5

Both trees use the Python that runs this. The earlier build's default is the CPU's own arithmetic,
so the fair ratio is that of `exact`; this build's default also names a cause and tries its remedy.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from turns import Command, in_tree, in_turn, show

HERE = Path(__file__).resolve().parents[1]


def main() -> int:
    """Measure, and print a line a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", help="a checkout of the earlier build; left out without one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--exact", action="store_true", help="leave the default's own row out")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    with tempfile.TemporaryDirectory() as scratch:

        def whole(tree: str, *more: str) -> Command:
            words = ("run", "--force", "-p", "output_root", f"{scratch}/out", *more)
            return in_tree(tree, *words, python=sys.executable)

        commands = {"exact": whole(str(HERE), "-p", "rehearsal_numerics", "exact")}
        if not options.exact:
            commands["default"] = whole(str(HERE))
        if options.old:
            commands = {"earlier build": whole(options.old), **commands}
        show(in_turn(commands, options.rounds), next(iter(commands)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
