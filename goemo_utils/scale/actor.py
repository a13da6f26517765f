"""What runs in a worker of Ray: one classifier, on the card that Ray gave the worker."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goemo_utils.errors import GoemoError
from goemo_utils.predict.inputs import Inputs
from goemo_utils.scale import source

if TYPE_CHECKING:
    import pyarrow as pa

    from goemo_utils.classifier.classifier import GoEmotionsClassifier

VISIBLE = "ASCEND_RT_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Setup:
    """How a worker makes its classifier and writes its rows; ``places``: whether rows name the file
    that their text came from.
    """

    options: Mapping[str, Any]
    threads: int
    probabilities: bool
    inputs: Inputs
    places: bool


@dataclass(frozen=True)
class Described:
    """What a classifier in a worker says of itself; or the sentence of what kept it from starting,
    and the class of that error.
    """

    labels: list[str]
    digest: str
    threshold: float | list[float]
    batch_tokens: int
    max_length: int
    simulated: bool
    origin: str
    error: type[GoemoError] | None = None
    sentence: str = ""


def in_order(environ: MutableMapping[str, str]) -> None:
    """Put the cards that Ray gave this worker in ascending order: Ray lists them as a set does, and
    torch_npu then sees no device.
    """
    cards = environ.get(VISIBLE, "").split(",")
    if all(card.strip().isdigit() for card in cards):
        environ[VISIBLE] = ",".join(sorted((card.strip() for card in cards), key=int))


def make(setup: Setup) -> GoEmotionsClassifier:
    """The classifier of this process; raises GoemoError where it cannot be had."""
    from goemo_utils.environment import torch_npu

    device = str(setup.options["device"])
    in_order(os.environ)
    torch_npu.for_device(device)

    import torch

    from goemo_utils.forward import lean
    from goemo_utils.forward.device import import_torch_npu

    torch.set_num_threads(setup.threads)
    if device.startswith("npu"):
        import_torch_npu(device)
    lean.import_transformers()
    from goemo_utils.classifier.classifier import GoEmotionsClassifier

    return GoEmotionsClassifier(**setup.options)


def describe(setup: Setup) -> Described:
    """Make a classifier as a worker will, and say what it is: what cannot start is told before
    anything is begun.
    """
    from goemo_utils.classifier import identity
    from goemo_utils.forward import thresholds

    try:
        classifier = make(setup)
    except GoemoError as error:
        return Described([], "", 0.0, 0, 0, False, "", type(error), str(error))

    return Described(
        classifier.labels,
        identity.digest(classifier),
        classifier.threshold,
        classifier.batch_tokens,
        classifier.max_length,
        classifier.device.simulated,
        thresholds.origin(setup.options["threshold"], classifier.info),
    )


class Worker:
    """Answers lists of texts, one after the other, in a process of its own."""

    def __init__(self, setup: Setup) -> None:
        from goemo_utils.predict.output import Form

        self._classifier = make(setup)
        simulated = self._classifier.device.simulated
        place = setup.inputs.place if setup.places else None
        self._form = Form(self._classifier.labels, setup.probabilities, simulated, place=place)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The answers of one list [1 row] as rows [n_texts], but for those that are kept."""
        from goemo_utils.predict.output import table

        (row,) = batch.to_pylist()
        answered = set(row["answered"])
        texts = source.texts_of(row)
        (predictions,) = self._classifier.predict_chunks(texts, True, row["first"])
        return table([one for one in predictions if one.index not in answered], self._form)
