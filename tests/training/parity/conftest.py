"""A study of a tiny model, run once for the tests that only read its result."""

import numpy as np
import pytest

from goemo_utils.training import parity
from goemo_utils.training.data import Split, Splits
from goemo_utils.training.params import TrainingParams
from tests.forward.tiny_model import SENTENCES, save_roberta

LABELS = ("joy", "anger", "neutral")
STEPS = 3


@pytest.fixture(scope="module")
def splits():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(SENTENCES, 2)) for _ in range(10)]
    part = Split(texts, np.eye(3, dtype=np.float32)[rng.integers(0, 3, 10)], LABELS)
    return Splits(part, part, part, [], {})


@pytest.fixture(scope="module")
def study(splits, tmp_path_factory):
    model = save_roberta(tmp_path_factory.mktemp("model"), LABELS)

    def run(**changes):
        params = TrainingParams.load(
            None,
            {
                "model": str(model),
                "parity_steps": STEPS,
                "batch_size": 4,
                "threads": 1,
                "max_length": 32,
                **changes,
            },
        )
        folder = tmp_path_factory.mktemp("run")
        result = parity.compare(params, splits, folder)
        left = sorted(p.name for p in (folder / "parity").iterdir())
        return result | {"left": left}

    return run


@pytest.fixture(scope="module")
def exact(study):
    return study()
