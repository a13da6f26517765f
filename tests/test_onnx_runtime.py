"""An exported graph answers like the model for every shape of a batch, or is refused with the reason."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from goemo_utils import onnx_runtime
from goemo_utils.classifier import GoEmotionsClassifier
from goemo_utils.errors import ModelError
from tests import tiny_model

pytestmark = pytest.mark.skipif(bool(onnx_runtime.missing()), reason="needs the onnx extra")
TEXTS = ["I am so happy today!", "", "happy " * 100, "No."]


# DeBERTa and MPNet take the plain mask only: given the additive one, DeBERTa answered NaN and MPNet failed.
@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "mpnet"])
def test_every_family_answers_like_the_model(architecture: str, tmp_path: Path) -> None:
    tiny_model.save(tmp_path, architecture)
    classifier = GoEmotionsClassifier(tmp_path, backend="onnxruntime")
    expected = GoEmotionsClassifier(tmp_path, backend="eager").predict(TEXTS)[1]
    np.testing.assert_allclose(classifier.predict(TEXTS)[1], expected, atol=1e-5)
    np.testing.assert_allclose(classifier.predict(TEXTS[2:3])[1], expected[2:3], atol=1e-5)
    assert "self-check differed by" in classifier.backend_reason


def test_a_window_of_attention_that_the_export_loses_is_found_by_a_long_text(tmp_path: Path) -> None:
    tiny_model.save(tmp_path, "modernbert", limit=600, local_attention=400)  # no built-in text alone has so many tokens
    with pytest.raises(ModelError, match="ModernBertForSequenceClassification cannot be exported .*self-check differed by"):
        GoEmotionsClassifier(tmp_path, backend="onnxruntime")


class Answering(torch.nn.Module):
    """Logits that the exporter cannot carry over: a constant of the traced length."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> "Answering":
        self.logits = (input_ids * attention_mask).float().sum(1, keepdim=True) + int(input_ids.shape[1])
        return self


def test_a_graph_that_holds_the_traced_length_is_refused() -> None:
    ids, mask = np.array([[1, 2, 3], [1, 0, 0]]), np.array([[1, 1, 1], [1, 0, 0]])
    with pytest.raises(ModelError, match="Answering cannot be exported .*self-check differed by"):
        onnx_runtime.Session(Answering(), (ids, mask), lambda logits: logits)


def test_quantising_leaves_the_programs_logging_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiny_model.save_roberta(tmp_path)
    before = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    assert GoEmotionsClassifier(tmp_path, dtype="int8", backend="onnxruntime").backend_used == "onnxruntime"
    assert not caplog.records and (list(logging.getLogger().handlers), list(logging.getLogger().filters)) == before
