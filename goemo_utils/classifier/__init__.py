"""The fast classifier: ``GoEmotionsClassifier`` and the ways it computes the same answers in less
time.

It batches, leaves out padding, packs weights and runs batches side by side. It knows nothing of
runs, records or notebooks: texts come in, labels and probabilities go out.
"""

from goemo_utils import on_first_use

__all__ = ["GoEmotionsClassifier", "PackingError", "Prediction", "ask"]

__getattr__ = on_first_use(
    __name__,
    {
        "GoEmotionsClassifier": "classifier",
        "Prediction": "classifier",
        "PackingError": "packed",
        "ask": "smoke",
    },
)
