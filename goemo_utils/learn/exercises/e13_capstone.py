"""Exercise 13: a port with three faults, in the model, in the yardstick and on the card; found,
removed, and proven by a run of the real chain.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from goemo_utils.errors import ParamsError
from goemo_utils.learn import state
from goemo_utils.learn.exercise import Answers, Exercise, Point, as_number, number_near, point
from goemo_utils.learn.port import PACKS, Port, Ran, apart, hand_over, weights_of
from goemo_utils.records.step import EMBEDDED
from goemo_utils.records.verify import alterations
from goemo_utils.rehearsal.seal import seal

# What anybody would say of the smoke sentences; one of them is always misplaced.
PLAIN = ("joy", "gratitude", "love")
OTHERS = ("anger", "sadness", "fear", "disgust", "grief", "remorse", "confusion", "pride")
# How many labels stand in a ring, each under the name of the next; several rings at once.
RINGS = ((3, 2), (4,), (2, 2), (2, 3))
# The arithmetic of the card, and the remedy that removes it.
REMEDIES = {
    "tanh_gelu": "erf_gelu",
    "hf32": "float32_matmul",
    "bf16_matmul": "float32_matmul",
    "fp16_matmul": "float32_matmul",
    "hf32+tanh_gelu": "erf_gelu+float32_matmul",
}
HONEST = "reorder+ulp"


@dataclass(frozen=True)
class Faults:
    """The three faults of a port. ``labels`` gives for a label the one whose scores stand under
    it; ``salt`` is what the pack's defect and the card's seal are drawn with.
    """

    labels: Mapping[str, str]
    pack: str
    arithmetic: str
    salt: int

    @property
    def card(self) -> str:
        """The card, sealed."""
        return seal(f"{self.arithmetic}+{HONEST}", self.salt)


def faults(seed: int) -> Faults:
    """What is wrong with the port of a seed."""
    drawn = random.Random(f"13/{seed}")
    rings = drawn.choice(RINGS)
    names = [drawn.choice(PLAIN), *drawn.sample(OTHERS, k=sum(rings) - 1)]
    labels: dict[str, str] = {}
    for size in rings:
        ring, names = names[:size], names[size:]
        labels |= dict(zip(ring, ring[1:] + ring[:1], strict=True))
    pack, arithmetic = drawn.choice(sorted(PACKS)), drawn.choice(sorted(REMEDIES))
    return Faults(labels, pack, arithmetic, drawn.getrandbits(32))


def material(seed: int) -> Port:
    """The port that is handed over, in a folder of the learner's own."""
    wrong = faults(seed)
    return hand_over(Port(_folder(seed), wrong.card), wrong.labels, wrong.pack, wrong.salt)


def _folder(seed: int) -> Path:
    return state.folder().resolve() / f"13-port-{seed % 10_000:04}"


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each fault, one for the pack's distance, one for the gates that the pack lets
    pass, and one for the run.
    """
    wrong = faults(seed)
    port = Port(_folder(seed), wrong.card)
    return [
        point(
            "labels",
            partial(_mistaken_labels, answers["labels"], wrong),
            "every score was right, and stood under the wrong name; parity cannot see that.",
            guessable=True,
        ),
        point(
            "pack",
            partial(_mistaken_pack, answers["pack"], wrong),
            "a yardstick that is off makes every judgement worthless, and its manifest never says.",
            redraws=True,
        ),
        point(
            "apart",
            partial(_mistaken_apart, answers["apart"], partial(apart, port)),
            "so far the yardstick itself is from what it claims to be.",
            guessable=True,
        ),
        point(
            "causes",
            partial(_mistaken_causes, answers["causes"], wrong),
            "that is how this card computes.",
            redraws=True,
        ),
        point(
            "let_pass",
            partial(_mistaken_gates, answers["let_pass"], wrong, port),
            "so much a false yardstick hides; a gate that passed by it says nothing of the card.",
            guessable=True,
        ),
        point(
            "run",
            partial(_mistaken_run, answers["run"], wrong, _folder(seed)),
            "its records prove the port of this model on this card: SIMULATED, so a rehearsal"
            " passed and nothing was ported.",
        ),
    ]


def _mistaken_labels(answer: Any, wrong: Faults) -> str | None:
    if not isinstance(answer, dict):
        raise ParamsError(
            "a dict was expected: for each label that is wrong, whose scores stand under it."
        )
    given = {str(label): str(whose) for label, whose in answer.items()}
    if given == dict(wrong.labels):
        return None
    if given == {whose: label for label, whose in wrong.labels.items()}:
        return "the right labels, the wrong way round: the key is the name that the model shows."
    if any(label == whose for label, whose in given.items()):
        return "a label that stands where it belongs is in it: only those that do not are asked."
    if set(given.items()) < set(wrong.labels.items()):
        return (
            "those are right, and more labels are misplaced. Three sentences show three labels of"
            " 28: which comparison shows all of them?"
        )
    return (
        "not so. Ask the model and the published one the same texts: under which name does each"
        " column of scores stand here, and under which there?"
    )


def _mistaken_pack(answer: Any, wrong: Faults) -> str | None:
    if not isinstance(answer, str) or answer not in PACKS:
        raise ParamsError(f"one of {', '.join(PACKS)} was expected.")
    if answer != wrong.pack:
        return SIGNS[str(answer)]
    return None


SIGNS = {
    "texts": (
        "with two answers exchanged, all texts but two would agree to the last bits, and these two"
        " would agree with each other's place. They do not."
    ),
    "weights": (
        "other weights of the head's bias would move every text alike, label by label. Look at the"
        " difference of one label over the texts: it is not the same for each."
    ),
    "dtype": (
        "numbers that came from float16 are float16 numbers: they survive the way there and back."
        " These do not."
    ),
    "arithmetic": (
        "rounded products disturb every text and every label by another amount, and leave float32"
        " numbers. That is not what these differences look like."
    ),
}
"""What the numbers of the pack would show, were it what the answer says."""


def _mistaken_apart(answer: Any, expected: Callable[[], float]) -> str | None:
    given, right = abs(as_number(answer)), expected()
    if number_near(given, right, 0.03):
        return None
    if given < 1e-4:
        return (
            "so near only a machine is to itself: with reference set to the colleague's pack, the"
            " run's own pack of the reference is a copy of it. Which run made its own?"
        )
    return (
        "the largest difference of a logit is asked, over all texts and labels, between the"
        " colleague's pack and the reference of this machine for the published model. Is the model"
        " mended in that run, and is it the reference and neither gold nor the card?"
    )


def _mistaken_causes(answer: Any, wrong: Faults) -> str | None:
    if isinstance(answer, str) or not isinstance(answer, Collection):
        raise ParamsError("a list of names was expected, as the summary has it under causes.")
    given, right = set(answer), set(wrong.arithmetic.split("+"))
    if given == right:
        return None
    if not given:
        return "a run that has its remedy shows no cause any more; look at one without."
    if given < right:
        return "there is more. What is left over when that alone is removed?"
    return (
        "that is not what this card does. A cause that is judged by a false yardstick is none: look"
        " again with a reference that the gate reference passes."
    )


def _mistaken_gates(answer: Any, wrong: Faults, port: Port) -> str | None:
    """What is wrong with the gates that the pack let pass, by the learner's own runs."""
    if isinstance(answer, (str, dict)) or not isinstance(answer, Collection):
        raise ParamsError("a set of names of gates was expected, as the summary has them under id.")
    right = let_pass(port, wrong)
    if not right:
        raise ParamsError(
            "there are no two runs to compare: with the model mended and without a remedy, one by"
            " the colleague's pack and one by reference='cpu'."
        )

    given = set(map(str, answer))
    if given in right:
        return None
    if "reference" in given:
        return "the gate reference is the one that saw it: which gates did not?"
    if any(given < gates for gates in right):
        return "those are right, and it let more pass: compare the two runs gate by gate."
    return (
        "not so. Asked are the gates whose result is pass by the colleague's pack, and explained or"
        " fail by your own reference, on the same card without a remedy."
    )


def let_pass(port: Port, wrong: Faults) -> list[set[str]]:
    """The gates that pass by the colleague's pack and not by a reference of this machine, for each
    pair of runs without a remedy that differ in nothing else.
    """
    results: dict[str, list[dict[str, str]]] = {"cpu": [], str(port.reference): []}
    for ran in port.runs():
        params = ran.record_params("03_parity")
        gates = {gate["id"]: str(gate["result"]) for gate in ran.summary.get("gates", [])}
        same = params.get("remedy") == "none" and params.get("rehearsal_numerics") == wrong.card
        if gates and same and params.get("reference") in results:
            results[params["reference"]].append(gates)

    own, theirs = results.values()
    return [
        {name for name, result in false.items() if result == "pass" and true.get(name) in SEEN}
        for false in theirs
        for true in own
    ]


SEEN = ("explained", "fail")
"""The results of a gate that something did not get past."""


def _mistaken_run(answer: Any, wrong: Faults, folder: Any) -> str | None:
    if not isinstance(answer, Ran):
        return "what port.run gives was expected."
    if folder not in answer.folder.resolve().parents:
        return "that run is of another port than the one that was handed over last."

    summary, params = answer.summary, answer.record_params("03_parity")
    if not summary:
        return "the run left no summary: a step did not end. Read the last lines that it printed."
    if altered := alterations(answer.folder):
        return f"the records do not hold together: {altered[0]}. Run it again."
    mistake = _other_port(params, wrong, folder) or _not_passed(answer, summary)
    return mistake or _needless(params, wrong)


def _other_port(params: dict[str, Any], wrong: Faults, folder: Any) -> str | None:
    """In what the run is not one of the handed-over model on its card."""
    if params.get("model") != str(folder / "model"):
        return "another model was run than the one that was handed over: mend it, and run it."
    if params.get("rehearsal_numerics") != wrong.card or params.get("rehearsal_fault"):
        return "another card was rehearsed. The card is what it is; use port.run."
    return None


def _not_passed(ran: Ran, summary: dict[str, Any]) -> str | None:
    """Why the run is no passing one, by its records."""
    failed = [gate["id"] for gate in summary["gates"] if gate["result"] == "fail"]
    if failed:
        return f"its verdict is {summary['verdict']}, by {', '.join(failed)}. Begin with the first."
    if summary["verdict"] == "pass-with-cause":
        return "it passes with a cause: explained is not removed. The cause has a remedy."
    if summary["verdict"] != "pass":
        return f"its verdict is {summary['verdict']}: a step did not end. Read why in its report."
    checks = ran.record("02_smoke").get("checks") or []
    if not checks or any(row["result"] != "pass" for row in checks):
        return "parity holds, and a plain sentence still gets the wrong word: look at 02_smoke."
    if _differing(Path(ran.record_params("03_parity")["model"])):
        return "the model is not yet what was published: its head has another row."
    if not (ran.folder / "report.html").is_file():
        return "there is no report.html in its folder."
    return None


def _differing(model: Path) -> list[str]:
    """The tensors in which a model differs from the published one."""
    published, mended = weights_of(EMBEDDED), weights_of(model)
    if published.keys() != mended.keys():
        return sorted(published.keys() ^ mended.keys())
    same = {n: published[n].shape == mended[n].shape for n in published}
    return [n for n in published if not same[n] or (published[n] != mended[n]).any()]


def _needless(params: dict[str, Any], wrong: Faults) -> str | None:
    """Whether the run has a remedy that its card does not need."""
    needed = set(REMEDIES[wrong.arithmetic].split("+"))
    applied = set(str(params.get("remedy")).split("+"))
    if applied > needed:
        return "it passes, with a remedy that this card does not need; on a card it costs speed."
    return None


EXERCISE = Exercise(
    number="13",
    name="capstone",
    title="The capstone: a port with three faults",
    teaches="finding, removing and proving, with the whole chain",
    minutes=45,
    answers={
        "labels": "for each misplaced label the one whose scores stand under it",
        "pack": "what is wrong with the reference pack, a word of the notebook",
        "apart": "by how much the pack and this machine's own reference differ at most",
        "causes": "the names of the causes that the card has",
        "let_pass": "the gates that the colleague's pack let pass and your own reference does not",
        "run": "what port.run gave, of the run that passes",
    },
    hints=(
        "One fault is in the model, one in the yardstick, one on the card. Take them in this order:"
        " a wrong model makes the rest look wrong, and a wrong yardstick too. None of them is"
        " written down anywhere; each shows in numbers that are laid beside other numbers.",
        "The model: load it and the published one, ask both the same texts, and look for each"
        " column of the one among the columns of the other. The pack: its logits minus those of"
        " `packs/reference` in a run with reference='cpu' are a table of texts by labels; a"
        " constant, a few odd rows, a coarse grid and a fine noise look different in it.",
        "A row of classifier.out_proj makes a column of scores: put the rows back by name, in"
        " weight and bias, and save. For the pack: are there rows that differ alone; is the"
        " difference of a label the same for every text; does the way to float16 and back change"
        " nothing? The causes are in the summary of a run with reference='cpu' and no remedy; the"
        " gates of that run and of the same with the colleague's pack lie side by side in"
        " summary['gates'].",
    ),
    judge=judge,
    material=material,
)
