"""The part of 03_parity that an earlier build has too, at RoBERTa-base size, in both builds.

    git worktree add /some/where bfa0771
    python benchmarks/analysis.py --old /some/where --rounds 5

That part is three packs, and the checks `probe`, `cause`, `place` and `invariance` on the run's own
texts, judged, and the run with the remedy that is named. What came later (the exercise set, the
path that users run, names) is left out of this build's job; the check of gold and the reference is
in it. Each time is a process of its own, interpreter and imports included, that makes the calls of
03_parity's cells one after another, behind the records of a chain that are there. So nothing of
this build is begun early here, as a chain's is.
"""

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from base_size import HERE, STEPS, chain, timed, write_weights
from turns import Command, in_turn, show

ALIKE = ("probe", "cause", "place", "invariance")
EARLIER = """
from goemo_utils import parity
from goemo_utils.comparison import before_and_after, explain, three_packs
from goemo_utils.step import Step
from goemo_utils.texts import load_texts
only = {}
"""
THIS = f"""
from goemo_utils import parity
from goemo_utils.notebook.comparison import before_and_after, explain, three_packs
from goemo_utils.records.step import Step
from goemo_utils.texts.builtin import load_texts
only = {{"checks": {ALIKE}}}
"""
CELLS = """
import sys
from goemo_utils.params import Params

words = [word.split("=", 1) for word in sys.argv[1:]]
step = Step.begin("03_parity", Params.load(overrides=dict(words)))
params = step.params
texts = load_texts(params)
gold, reference, candidate = three_packs(step, texts.texts)
found = explain(step, texts.texts, **only)
evidence = found["evidence"]
result = parity.judge(
    gold, reference, candidate, params.threshold, texts.texts, **evidence, labels=texts.labels
)
before_and_after(step, gold, reference, result, texts.texts)
"""


def cells(tree: str, imports: str, chained: Command) -> Command:
    """The calls of 03_parity's cells in one tree, with the parameters of its chain."""
    given = list(chained.words[4:])  # after: python -m goemo_utils.cli run
    pairs = [f"{given[i + 1]}={given[i + 2]}" for i in range(0, len(given), 3)]
    return Command([sys.executable, "-c", imports + CELLS, *pairs], chained.environment, tree)


def main() -> int:
    """Measure, and print a line a build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", required=True, help="a checkout of the earlier build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--numerics", default="hf32")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_weights(scratch / "model")
        commands = {}
        builds = {"earlier build": (options.old, EARLIER), "this build": (str(HERE), THIS)}
        for name, (tree, imports) in builds.items():
            root = scratch / name.replace(" ", "-")
            chained = chain(tree, scratch / "model", root, options.numerics)
            timed(chained, root / "base", [step for step in STEPS if step != "03_parity"])
            shutil.rmtree(root / "base" / "packs", ignore_errors=True)
            commands[name] = cells(tree, imports, chained)
        show(in_turn(commands, options.rounds), "earlier build")
    return 0


if __name__ == "__main__":
    sys.exit(main())
