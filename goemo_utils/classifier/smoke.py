"""A handful of sentences whose answers a person can judge: the smoke test of 02_smoke."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from goemo_utils.forward.run import batches, encode

if TYPE_CHECKING:
    from goemo_utils.forward.device import Device
    from goemo_utils.forward.model import Loaded

SENTENCES = (
    "I am so happy today!",
    "Thank you so much for your help.",
    "I am really angry about this.",
    "This is so sad, I miss him.",
    "Wow, I did not expect that at all!",
    "I love you.",
    "What does this button do?",
)
# Only what nobody would dispute is checked; the other answers are shown for the reader.
EXPECTED = {
    "I am so happy today!": "joy",
    "Thank you so much for your help.": "gratitude",
    "I love you.": "love",
}


def checks(rows: list[dict[str, Any]], labels: list[str], trained: bool) -> list[dict[str, Any]]:
    """Compare the highest label of each sentence with what anybody would say. Empty when the model
    has other labels or no trained weights.
    """
    if not trained:
        return []

    found = {row["text"]: row["top"] for row in rows}

    return [
        {
            "text": text,
            "expected": label,
            "got": found[text],
            "result": "pass" if found[text] == label else "fail",
        }
        for text, label in EXPECTED.items()
        if label in labels and text in found
    ]


def answers(
    results: list[list[tuple[str, float]]], probabilities: Any, labels: list[str]
) -> list[dict[str, Any]]:
    """Rows for the record from a classifier's answer: the labels above the threshold, and the
    highest one whatever its height.
    """
    return [
        {
            "text": text,
            "labels": [[label, float(p)] for label, p in result],
            "top": labels[int(row.argmax())],
            "top_probability": float(row.max()),
        }
        for text, result, row in zip(SENTENCES, results, probabilities, strict=True)
    ]


def states(
    loaded: Loaded, device: Device, max_length: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """For a model without a trained head: the size of each sentence's last hidden state over its
    real tokens, and the proof of placement.

    A sensible encoder gives finite states of similar size (root mean square over tokens and width),
    and different ones for different sentences.
    """
    import torch

    rows: list[dict[str, Any]] = []
    placement: dict[str, Any] = {}
    for batch in batches(loaded, encode(loaded, list(SENTENCES), max_length), len(SENTENCES)):
        with torch.no_grad():
            output = loaded.model(
                **{name: tensor.to(device.torch_device) for name, tensor in batch.items()}
            )
        placement = device.proof(loaded.model, output.last_hidden_state)
        hidden, mask = output.last_hidden_state.cpu().double(), batch["attention_mask"].bool()
        means = torch.stack([h[m].mean(0) for h, m in zip(hidden, mask, strict=True)])
        alike = torch.nn.functional.cosine_similarity(
            means[:, None], means[None], dim=-1
        ).fill_diagonal_(-1)
        rows += [
            {
                "text": text,
                "labels": [],
                "top": None,
                "rms": float(h[m].pow(2).mean().sqrt()),
                "finite": bool(torch.isfinite(h[m]).all()),
                "most_like": SENTENCES[int(near.argmax())],
            }
            for text, h, m, near in zip(SENTENCES, hidden, mask, alike, strict=True)
        ]
    return rows, placement


def run_job(
    job: dict[str, Any], progress: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """``ask`` as a worker's job: ``{"kind": "smoke", "params": …, "task": …, "device": …}``."""
    from goemo_utils.params import Params

    return ask(Params.load(None, job["params"]), job["task"])


def ask(params: Any, task: str) -> dict[str, Any]:
    """Ask the run's model on the run's device: the payload of 02_smoke's record. ``task`` is what
    01_load found the model to be.
    """
    from goemo_utils.forward.device import open_device

    device = open_device(
        params.opened_as, params.rehearsal_numerics, params.rehearsal_fault, params.remedy
    )
    common = {"n": len(SENTENCES)}
    if task == "encoder":
        from goemo_utils.forward.model import load_model

        loaded = load_model(
            params.model,
            params.revision,
            params.task,
            params.dtype,
            params.attn_implementation,
            params.seed,
        )
        loaded.model = loaded.model.to(device.torch_device)
        rows, placement = states(loaded, device, params.max_length)
        return {
            **common,
            "threshold": None,
            "rows": rows,
            "checks": [],
            "placement": placement,
            "why_unchecked": "the model has no trained head",
        }
    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    classifier = GoEmotionsClassifier(
        params.model,
        device,
        params.threshold,
        params.dtype,
        params.attn_implementation,
        revision=params.revision,
        max_length=params.max_length,
        seed=params.seed,
        task=params.task,
    )
    results, probabilities = classifier.predict(list(SENTENCES))
    rows = answers(results, probabilities, classifier.labels)
    trained = classifier.info["pretrained_used"]
    found = checks(rows, classifier.labels, trained)
    return {
        **common,
        "threshold": classifier.threshold,
        "rows": rows,
        "checks": found,
        "placement": classifier.placement,
        "why_unchecked": _why_unchecked(found, trained),
    }


def _why_unchecked(found: list[dict[str, Any]], trained: bool) -> str | None:
    """Why no answer could be checked; None where some were."""
    if found:
        return None
    if not trained:
        return "the weights are random"
    return "its labels are not the ones these sentences were chosen for"
