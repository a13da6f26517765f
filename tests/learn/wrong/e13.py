from tests.learn.wrong import Wrong

SEEDS = ()  # a solution is three runs of the chain
REST_ON_THE_SOLUTION = True  # it was tried before on the same port, so that its runs lie there
KEPT = """
from safetensors.torch import load_file
from goemo_utils.learn import seed_of
from goemo_utils.learn.exercises.e13_capstone import REMEDIES, faults, let_pass
from goemo_utils.learn.port import Ran, apart as distance
from goemo_utils.records.step import EMBEDDED

wrong = faults(seed_of("13"))
runs = sorted((port.folder / "runs").glob("port-*"))
kept = [Ran(folder, "", 0) for folder in runs]
params = [one.record_params("03_parity") for one in kept]
trusted, run = (
    next(r for r, p in zip(kept, params) if p.get("reference") == "cpu" and p["remedy"] == remedy)
    for remedy in ("none", REMEDIES[wrong.arithmetic])
)
published = load_file(EMBEDDED / "model.safetensors")
"""
QUICK = {
    "13-first-run": KEPT,
    "13-smoke": "",
    "13-labels": (
        "labels = dict(wrong.labels)\n"
        'save_file(published, port.model / "model.safetensors", {"format": "pt"})'
    ),
    "13-pack": "pack, apart = wrong.pack, distance(port)",
    "13-causes": 'causes, let_pass = wrong.arithmetic.split("+"), let_pass(port, wrong)[0]',
    "13-run": "",
}

WRONG = [
    Wrong(
        "only what the smoke sentences show is named",
        QUICK | {"13-labels": QUICK["13-labels"] + "\nlabels = dict(list(labels.items())[:1])"},
        "those are right, and more labels are misplaced",
    ),
    Wrong(
        "a label and whose scores it shows are exchanged",
        QUICK
        | {
            "13-labels": QUICK["13-labels"]
            + "\nlabels = {whose: label for label, whose in labels.items()} | {'joy': 'pride'}"
        },
        "under which name does each column of scores stand here",
    ),
    Wrong(
        "the causes are read from the run that has its remedy",
        QUICK | {"13-causes": QUICK["13-causes"] + '\ncauses = run.summary["causes"]'},
        "a run that has its remedy shows no cause any more",
    ),
    Wrong(
        "every gate that passed by the pack is named",
        QUICK
        | {
            "13-causes": QUICK["13-causes"]
            + "\nlet_pass = {'finite', 'same_inputs', 'place', 'repeatable'}"
        },
        "by your own reference, on the same card",
    ),
    Wrong(
        "the cause is explained and not removed",
        QUICK | {"13-run": "run = trusted"},
        "explained is not removed",
    ),
    Wrong(
        "the model is not mended",
        QUICK | {"13-labels": "labels = dict(wrong.labels)"},
        "its head has another row",
    ),
    Wrong(
        "the pack is blamed by guessing",
        QUICK | {"13-pack": 'pack, apart = "dtype" if wrong.pack != "dtype" else "texts", 1.0'},
        "the largest difference of a logit is asked",
    ),
    Wrong(
        "the run's own copy of the pack is laid beside it",
        QUICK | {"13-pack": "pack, apart = wrong.pack, 0.0"},
        "so near only a machine is to itself",
    ),
]
