from tests.learn.wrong import Wrong

SEEDS = ()  # a solution is three runs of the chain
# The solution was tried before on the same port, so that its run lies there.
KEPT = """
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e13_capstone import faults
from goemo_utils.learn.port import Ran

wrong = faults(seed_of("13"))
run = Ran(port.folder / "runs" / "port", "pass", 0)
"""
QUICK = {
    "13-first-run": KEPT,
    "13-smoke": "",
    "13-labels": "labels = wrong.labels",
    "13-pack": "pack = wrong.pack",
    "13-causes": 'causes = wrong.arithmetic.split("+")',
    "13-run": "",
}

WRONG = [
    Wrong(
        "the first two labels of the list are named",
        QUICK | {"13-labels": 'labels = ("admiration", "amusement")'},
        "these stand where they belong",
    ),
    Wrong(
        "the label that is shown is named with a wrong partner",
        QUICK | {"13-labels": 'labels = (wrong.labels[0], "admiration")'},
        "one of them is right",
    ),
    Wrong(
        "the causes are read from the run that has its remedy",
        QUICK | {"13-causes": 'causes = run.summary["causes"]'},
        "a run that has its remedy shows no cause any more",
    ),
    Wrong(
        "the cause is explained and not removed",
        QUICK | {"13-run": 'run = port.run(reference="cpu")'},
        "explained is not removed",
    ),
    Wrong(
        "the pack is blamed by guessing",
        QUICK | {"13-pack": 'pack = "dtype" if wrong.pack != "dtype" else "texts"'},
        "the pack was not refused for that",
    ),
]
