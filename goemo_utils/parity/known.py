"""The known answer: scores that the author of SamLowe/roberta-base-go_emotions published for one text, checked first.

Source: the notebook eval-roberta-base-go_emotions.ipynb of the dataset repository samlowe/go_emotions-dataset (revision
1af3929). Weights, tokenizer, activation and label order must all be right for these 28 numbers to come out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goemo_utils.parity.twins import Twins

NAME = "roberta-base-go_emotions"
LIMIT = 1e-5  # float32 with the erf GELU; a tanh GELU misses it visibly
TEXT = "I’m really sorry about your situation :( Although I love the names Sapphira, Cirilla, and Scarlett!"
SCORES = {
    "remorse": 0.6783005595207214, "sadness": 0.5406174659729004, "love": 0.36081382632255554, "caring": 0.055766332894563675,
    "disappointment": 0.03692121431231499, "approval": 0.03364570811390877, "gratitude": 0.031087230890989304, "admiration": 0.018729276955127716,
    "grief": 0.01807975396513939, "optimism": 0.015967002138495445, "disapproval": 0.015757162123918533, "realization": 0.01312244962900877,
    "desire": 0.011346084997057915, "curiosity": 0.010657960548996925, "confusion": 0.010225102305412292, "anger": 0.008085083216428757,
    "embarrassment": 0.0074794702231884, "joy": 0.007231603376567364, "amusement": 0.007127891294658184, "disgust": 0.006885968614369631,
    "annoyance": 0.006822112947702408, "neutral": 0.006323412526398897, "nervousness": 0.005139764863997698, "relief": 0.0033562402240931988,
    "fear": 0.0032813716679811478, "excitement": 0.0026978987734764814, "surprise": 0.0021369135938584805, "pride": 0.0009516481077298522,
}  # fmt: skip


def applies(info: dict[str, Any]) -> bool:
    """Whether a model is that checkpoint: by its hub name or its folder's, with its own weights and labels."""
    name = str(info.get("id") or "").rstrip("/").rsplit("/", 1)[-1]
    return name == NAME and info.get("source") in ("hub", "local") and set(info.get("labels") or ()) == set(SCORES)


def check(twins: Twins) -> dict[str, Any] | None:
    """Largest difference from the published scores, on the reference and on the device; None for any other model."""
    if not applies(twins.loaded.info):
        return None
    import torch

    wanted = torch.tensor([SCORES[label] for label in twins.loaded.labels], dtype=torch.float64)
    batches = twins.batches([TEXT], 512, 1)
    sides = {side: twins.run(model, batches, hidden=False)["logits"][0].double().sigmoid() for side, model in (("reference", twins.reference), ("candidate", twins.candidate))}
    errors = {side: float((p - wanted).abs().max()) for side, p in sides.items()}
    limit = LIMIT if twins.dtype == "float32" else 2e-2
    return {"error": errors["reference"], "error_candidate": errors["candidate"], "limit": limit, "n": len(wanted), "text": TEXT}
