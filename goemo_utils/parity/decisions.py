"""What a classifier decides: probabilities, ranks and label sets, and how far two sides agree on
them.
"""

import numpy as np

from goemo_utils.forward.thresholds import above


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z)) in float64, without overflow at either end."""
    z = z.astype(np.float64)
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1.0 + e))


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over labels, ``[n_texts, n_labels]`` in float64."""
    z = z.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)))


def probabilities(z: np.ndarray, task: str) -> np.ndarray:
    """Probabilities of logits: sigmoid per label (multi_label) or softmax over labels
    (single_label).
    """
    return sigmoid(z) if task == "multi_label" else np.exp(log_softmax(z))


def logit(p: float | np.ndarray) -> float | np.ndarray:
    """log(p / (1 - p)): the threshold on logits that equals a threshold on probabilities."""
    return np.log(p) - np.log1p(-np.asarray(p, np.float64))


def decide(z: np.ndarray, task: str, threshold: float | np.ndarray) -> np.ndarray:
    """Decisions ``[n_texts, n_labels]`` as booleans: labels above the threshold, or the one most
    likely label. As the classifier decides: on probabilities in float32, also of gold's logits.
    """
    if task == "multi_label":
        return above(sigmoid(z), threshold)
    return np.asarray(np.arange(z.shape[1]) == z.argmax(axis=1)[:, None])


def divergence(z_reference: np.ndarray, z_candidate: np.ndarray, task: str) -> np.ndarray:
    """KL(p_r || p_c) in nats from logits: per text and label (Bernoulli) or per text (categorical).
    Never negative.
    """
    if task == "multi_label":
        p = sigmoid(z_reference)
        on = np.logaddexp(0, -z_candidate.astype(np.float64)) - np.logaddexp(
            0, -z_reference.astype(np.float64)
        )
        off = np.logaddexp(0, z_candidate.astype(np.float64)) - np.logaddexp(
            0, z_reference.astype(np.float64)
        )
        return np.asarray(np.maximum(p * on + (1 - p) * off, 0.0))

    lr, lc = log_softmax(z_reference), log_softmax(z_candidate)

    return np.asarray(np.maximum(np.sum(np.exp(lr) * (lr - lc), axis=1), 0.0))


def top(z: np.ndarray, k: int) -> np.ndarray:
    """Boolean mask ``[n_texts, n_labels]`` of the k largest logits; equal logits in label order."""
    order = np.argsort(-z, axis=1, kind="stable")[:, :k]
    mask = np.zeros(z.shape, bool)
    np.put_along_axis(mask, order, True, axis=1)
    return mask


def top_overlap(
    z_reference: np.ndarray,
    z_candidate: np.ndarray,
    k: int,
    gold: np.ndarray | None = None,
    tie: float = 0.0,
) -> np.ndarray:
    """Per text, how much of the candidate's top k the reference's has, in [0, 1].

    With ``gold``, labels whose gold logit is within ``tie`` of the k-th largest count as tied: a
    candidate label also counts when gold has it among the k or tied with them. ``tie`` must not
    come from the candidate (take the envelope of the accepted rung): a candidate's own error would
    excuse itself.
    """
    k = min(k, z_reference.shape[1])
    good = top(z_reference, k)
    if gold is not None:
        last = -np.partition(-gold.astype(np.float64), k - 1, axis=1)[:, k - 1]
        good = good | (gold >= last[:, None] - tie)

    return np.asarray((top(z_candidate, k) & good).sum(axis=1) / k)
