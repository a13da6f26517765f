"""Exercise 13: a port with three faults, in the model, in the yardstick and on the card; found,
removed, and proven by a run of the real chain.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

from goemo_utils.learn import state
from goemo_utils.learn.exercise import Answers, Exercise, Point, point
from goemo_utils.learn.port import PACKS, Port, Ran, hand_over
from goemo_utils.records.record import sha256_file
from goemo_utils.records.step import EMBEDDED
from goemo_utils.records.verify import alterations

# What anybody would say of the smoke sentences; one of them is always among the swapped labels.
PLAIN = ("joy", "gratitude", "love")
OTHERS = ("anger", "sadness", "fear", "disgust", "grief", "remorse", "confusion", "pride")
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
    """The three faults of a port."""

    labels: tuple[str, str]
    pack: str
    arithmetic: str

    @property
    def numerics(self) -> str:
        """The card, in the words of the rehearsal device."""
        return f"{self.arithmetic}+{HONEST}"


def faults(seed: int) -> Faults:
    """What is wrong with the port of a seed."""
    drawn = random.Random(f"13/{seed}")
    labels = (drawn.choice(PLAIN), drawn.choice(OTHERS))
    return Faults(labels, drawn.choice(sorted(PACKS)), drawn.choice(sorted(REMEDIES)))


def material(seed: int) -> Port:
    """The port that is handed over, in a folder of the learner's own."""
    wrong = faults(seed)
    return hand_over(_folder(seed), wrong.labels, wrong.pack, wrong.numerics)


def _folder(seed: int) -> Any:
    return state.folder().resolve() / f"13-port-{seed % 10_000:04}"


def judge(answers: Answers, seed: int) -> list[Point]:
    """A point for each fault, and one for the run."""
    wrong = faults(seed)
    return [
        point(
            "labels",
            partial(_mistaken_labels, answers["labels"], wrong),
            "every score was right, and stood under the wrong name.",
        ),
        point(
            "pack",
            partial(_mistaken_pack, answers["pack"], wrong),
            "a yardstick that is off makes every judgement worthless.",
            redraws=True,
        ),
        point(
            "causes",
            partial(_mistaken_causes, answers["causes"], wrong),
            "that is how this card computes.",
        ),
        point(
            "run",
            partial(_mistaken_run, answers["run"], wrong, _folder(seed)),
            "its records prove the port of this model on this card: SIMULATED, so a rehearsal"
            " passed and nothing was ported.",
        ),
    ]


def _mistaken_labels(answer: Any, wrong: Faults) -> str | None:
    if isinstance(answer, str) or not isinstance(answer, Collection) or len(answer) != 2:
        return "two labels were expected, those that stand in each other's place."
    right = set(wrong.labels)
    if set(answer) == right:
        return None
    if right & set(answer):
        return "one of them is right. What does the model call the sentence that nobody disputes?"
    return "these stand where they belong. Read the smoke sentences as a person would."


def _mistaken_pack(answer: Any, wrong: Faults) -> str | None:
    if answer not in PACKS:
        return f"one of {', '.join(PACKS)} was expected."
    if answer != wrong.pack:
        return (
            "the pack was not refused for that. Read what 03_parity says of it once the labels are"
            " in their places: a sentence where it was made otherwise, the gate reference where it"
            " was computed otherwise."
        )
    return None


def _mistaken_causes(answer: Any, wrong: Faults) -> str | None:
    if isinstance(answer, str) or not isinstance(answer, Collection):
        return "a list of names was expected, as the summary has it under causes."
    given, right = set(answer), set(wrong.arithmetic.split("+"))
    if given == right:
        return None
    if not given:
        return "a run that has its remedy shows no cause any more; look at one without."
    if given < right:
        return "that is one of them. What is left over when it alone is removed?"
    return (
        "that is not what this card does. A cause that is judged by a false yardstick is none: look"
        " again with a reference that the gate reference passes."
    )


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
    if params.get("rehearsal_numerics") != wrong.numerics or params.get("rehearsal_fault"):
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
    if ran.record("01_load")["model"].get("config_sha256") != sha256_file(EMBEDDED / "config.json"):
        return "the model is not yet what was published: its config.json has another hash."
    if not (ran.folder / "report.html").is_file():
        return "there is no report.html in its folder."
    return None


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
    minutes=30,
    answers={
        "labels": "the two labels that stand in each other's place",
        "pack": "what is wrong with the reference pack, a word of the notebook",
        "causes": "the names of the causes that the card has",
        "run": "what port.run gave, of the run that passes",
    },
    hints=(
        "One fault is in the model, one in the yardstick, one on the card. Take them in this order:"
        " a wrong model makes the rest look wrong, and a wrong yardstick too. What a run prints and"
        " leaves in its records names each step that stopped, and why.",
        "`ran.record('02_smoke')['checks']` shows what the model calls three plain sentences;"
        " config.json holds the names of its labels, twice. `reference='cpu'` makes this machine"
        " the yardstick. `ran.summary['causes']` names what the card does.",
        "Compare port.model / 'config.json' with the one of the embedded model, label by label, and"
        " mend it byte for byte. Run once with the colleague's pack (its sentence or its gate says"
        " what it is), once with reference='cpu' (causes), and once more with the remedy that the"
        " table of docs/parity.md gives for the cause.",
    ),
    judge=judge,
    material=material,
)
