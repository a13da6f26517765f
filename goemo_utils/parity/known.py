"""The known answer: scores that an author published for one text, checked before anything else.

Weights, tokenizer, activation and label order must all be right for the numbers to come out. A
checkpoint is recognised by its name, or, under another name, by giving the answer; one that only
has the same labels is another model, of which nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goemo_utils.parity.twins import Twins

LIMIT, HALF_LIMIT = (
    1e-5,
    2e-2,
    # float32 with the erf GELU; a tanh GELU misses it visibly. Half precisions keep two or three
    # digits.
)


@dataclass(frozen=True)
class Answer:
    """What a checkpoint, ``id`` on the hub, answers to ``text``: a probability a label, in float32
    on a CPU.
    """

    id: str
    text: str
    scores: Mapping[str, float]
    source: str


ANSWERS = (
    Answer(
        "SamLowe/roberta-base-go_emotions",
        "I’m really sorry about your situation :( Although I love the names Sapphira, Cirilla, and"
        " Scarlett!",
        {
            "remorse": 0.6783005595207214,
            "sadness": 0.5406174659729004,
            "love": 0.36081382632255554,
            "caring": 0.055766332894563675,
            "disappointment": 0.03692121431231499,
            "approval": 0.03364570811390877,
            "gratitude": 0.031087230890989304,
            "admiration": 0.018729276955127716,
            "grief": 0.01807975396513939,
            "optimism": 0.015967002138495445,
            "disapproval": 0.015757162123918533,
            "realization": 0.01312244962900877,
            "desire": 0.011346084997057915,
            "curiosity": 0.010657960548996925,
            "confusion": 0.010225102305412292,
            "anger": 0.008085083216428757,
            "embarrassment": 0.0074794702231884,
            "joy": 0.007231603376567364,
            "amusement": 0.007127891294658184,
            "disgust": 0.006885968614369631,
            "annoyance": 0.006822112947702408,
            "neutral": 0.006323412526398897,
            "nervousness": 0.005139764863997698,
            "relief": 0.0033562402240931988,
            "fear": 0.0032813716679811478,
            "excitement": 0.0026978987734764814,
            "surprise": 0.0021369135938584805,
            "pride": 0.0009516481077298522,
        },
        "eval-roberta-base-go_emotions.ipynb of samlowe/go_emotions-dataset, revision 1af3929",
    ),
)


def asked(info: Mapping[str, Any]) -> dict[str, Any] | None:
    """What to ask a model, by what was loaded: the published text and scores as a part of a job,
    ``named`` if it goes by the checkpoint's name.

    None where no answer can be known: other labels, random weights, or no classifier.
    """
    labels = list(info.get("labels") or [])
    if info.get("source") == "random" or info.get("task") != "multi_label":
        return None

    for answer in ANSWERS:
        if sorted(labels) == sorted(answer.scores):
            return {
                "id": answer.id,
                "named": _named(answer.id, info),
                "text": answer.text,
                "scores": dict(answer.scores),
                "source": answer.source,
            }

    return None


def _named(id: str, info: Mapping[str, Any]) -> bool:
    """By hub id; by a folder called like it, or like the hub's cache calls it
    (``models--OWNER--NAME/snapshots/COMMIT``).
    """
    given = str(info.get("id") or "")
    if info.get("source") == "hub":
        return given.casefold() == id.casefold()
    parts = PurePath(str(info.get("path") or given)).parts
    return (
        info.get("source") == "local"
        and bool(parts)
        and (parts[-1] == id.rsplit("/", 1)[-1] or f"models--{id.replace('/', '--')}" in parts)
    )


def check(twins: Twins, question: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Largest difference from the published scores, on the reference and on the device; None where
    there is no ``question`` (see ``asked``).

    An error that is no finite number is null.
    """
    if question is None:
        return None
    import torch

    wanted = torch.tensor(
        [question["scores"][label] for label in twins.loaded.labels], dtype=torch.float64
    )
    batches = twins.batches([question["text"]], 512, 1)
    errors = {}
    for side, model in (("reference", twins.reference), ("candidate", twins.candidate)):
        twins.attach(model)
        error = float(
            (twins.run(model, batches, hidden=False)["logits"][0].double().sigmoid() - wanted)
            .abs()
            .max()
        )
        errors[side] = error if math.isfinite(error) else None
    told = {key: question[key] for key in ("id", "named", "text", "source")}
    return {
        **told,
        "error": errors["reference"],
        "error_candidate": errors["candidate"],
        "limit": LIMIT if twins.dtype == "float32" else HALF_LIMIT,
        "n": len(wanted),
    }
