"""The part of 03_parity that an earlier build has too, at RoBERTa-base size, in both builds.

    git worktree add /some/where bfa0771
    python benchmarks/analysis.py --old /some/where --rounds 5

That part is three packs, the checks `probe`, `cause`, `place` and `invariance` on the run's own
texts, the judgement, and the run with the remedy that is named. What came later (the exercise set,
the path that users run, names) is left out of this build's job; the check of gold and the reference
is in it. Each time is a process of its own that makes the calls of 03_parity's cells behind the
records of a chain, and begins early what a chain begins early; its imports and the start of this
build's server, which a chain has behind it, are not counted.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from base_size import HERE, STEPS, chain, timed, write_weights
from turns import Command, Times, ratio, run

ALIKE = ("probe", "cause", "place", "invariance")
EARLIER = """
from goemo_utils import parity
from goemo_utils.comparison import before_and_after, explain, three_packs
from goemo_utils.step import Step
from goemo_utils.texts import load_texts
begin = None
only = {}
"""
THIS = f"""
import os
from goemo_utils import parity
from goemo_utils.forward import worker
from goemo_utils.forward.early import Early
from goemo_utils.notebook import requests
from goemo_utils.notebook.comparison import before_and_after, explain, three_packs
from goemo_utils.records.step import Step
from goemo_utils.texts.builtin import load_texts
only = {{"checks": {ALIKE}}}
server = worker.Server()
os.environ[worker.ADDRESS] = server.wait()
early = Early()

def begin(step, texts):
    packs = {{role: str(requests.pack_of(step.dir, role)) for role in ("gold", "reference")}}
    model = step.results("01_load")["model"]
    job = requests.explanation(step.params, step.dir, texts, model, packs, **only)
    early.begin(job, requests.log_of(step.dir, "explain"))
"""
CELLS = """
import sys
import time
from pathlib import Path
from goemo_utils.params import Params

words = [word.split("=", 1) for word in sys.argv[2:]]
params = Params.load(overrides=dict(words))
began = time.perf_counter()
step = Step.begin("03_parity", params)
params = step.params
texts = load_texts(params)
if begin:
    begin(step, texts.texts)
gold, reference, candidate = three_packs(step, texts.texts)
found = explain(step, texts.texts, **only)
evidence = found["evidence"]
result = parity.judge(
    gold, reference, candidate, params.threshold, texts.texts, **evidence, labels=texts.labels
)
before_and_after(step, gold, reference, result, texts.texts)
Path(sys.argv[1]).write_text(str(time.perf_counter() - began))
"""


def cells(tree: str, imports: str, chained: Command, told: Path) -> Command:
    """The calls of 03_parity's cells in one tree, with the parameters of its chain; their seconds
    go to the file ``told``.
    """
    given = list(chained.words[4:])  # after: python -m goemo_utils.cli run
    pairs = [f"{given[i + 1]}={given[i + 2]}" for i in range(0, len(given), 3)]
    words = [sys.executable, "-c", imports + CELLS, str(told), *pairs]
    return Command(words, chained.environment, tree)


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

    builds = {"earlier": (options.old, EARLIER), "this": (str(HERE), THIS)}
    seconds: dict[str, list[float]] = {name: [] for name in builds}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_weights(scratch / "model", 512)
        commands = {}
        for name, (tree, imports) in builds.items():
            root = scratch / name
            chained = chain(tree, scratch / "model", root, options.numerics)
            timed(chained, root / "base", [step for step in STEPS if step != "03_parity"])
            shutil.rmtree(root / "base" / "packs", ignore_errors=True)
            commands[name] = cells(tree, imports, chained, scratch / f"{name}.txt")

        for number in range(options.rounds):
            for name in list(commands) if number % 2 else reversed(list(commands)):
                run(commands[name], Times())
                seconds[name].append(float((scratch / f"{name}.txt").read_text()))
                print(f"{name} build: {seconds[name][-1]:.1f} s", flush=True)

    for name, times in seconds.items():
        middle = statistics.median(times)
        print(f"{name:8s} build {middle:6.1f} s  {ratio(times, seconds['earlier'])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
