"""An exported graph answers like the model for every shape of a batch, or is refused with the
reason.
"""

import gc
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from goemo_utils.boundary.parts import LOCK, Scratch
from goemo_utils.classifier import onnx_runtime
from goemo_utils.classifier.classifier import GoEmotionsClassifier
from goemo_utils.errors import ModelError
from goemo_utils.forward.inputs import filled
from tests.forward import tiny_model

pytestmark = pytest.mark.skipif(bool(onnx_runtime.missing()), reason="needs the onnx extra")
TEXTS = ["I am so happy today!", "", "happy " * 100, "No."]


# DeBERTa and MPNet take the plain mask only: given the additive one, DeBERTa answered NaN and MPNet
# failed.
@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "mpnet"])
def test_every_family_answers_like_the_model(architecture: str, tmp_path: Path) -> None:
    tiny_model.save(tmp_path, architecture)
    classifier = GoEmotionsClassifier(tmp_path, backend="onnxruntime")
    expected = GoEmotionsClassifier(tmp_path, backend="eager").predict(TEXTS)[1]
    np.testing.assert_allclose(classifier.predict(TEXTS)[1], expected, atol=1e-5)
    np.testing.assert_allclose(classifier.predict(TEXTS[2:3])[1], expected[2:3], atol=1e-5)
    assert "self-check differed by" in classifier.backend_reason
    assert not list(classifier._model.parameters())  # the weights are not held twice


class Windowed(torch.nn.Module):
    """Logits that read the first five tokens of a longer text: a branch that an export from a short
    text loses, as exports have lost ModernBERT's window.
    """

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> "Windowed":
        kept = (input_ids * attention_mask).float()
        if input_ids.shape[1] > 5:
            kept = kept[:, :5]
        self.logits = kept.sum(1, keepdim=True)
        return self


def batch_of(*lengths: int) -> dict[str, np.ndarray]:
    ids = filled([list(range(1, length + 1)) for length in lengths], 0, max(lengths))
    return {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}


def test_a_window_of_attention_that_the_export_loses_is_found_by_a_long_text() -> None:
    with pytest.raises(ModelError, match=r"Windowed cannot be exported .*self-check differed by"):
        onnx_runtime.Session(Windowed(), [batch_of(3, 8)], lambda logits: logits)


def test_the_export_is_checked_on_a_text_longer_than_every_built_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = []

    def stop(model, examples, activate, int8):
        widths.extend(example["input_ids"].shape[1] for example in examples)
        raise ModelError("seen enough")

    monkeypatch.setattr(onnx_runtime, "Session", stop)
    tiny_model.save(tmp_path, "modernbert", limit=600)
    with pytest.raises(ModelError, match="seen enough"):
        GoEmotionsClassifier(tmp_path, backend="onnxruntime")
    assert max(widths) > 400


class Answering(torch.nn.Module):
    """Logits that the exporter cannot carry over: a constant of the traced length."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> "Answering":
        self.logits = (input_ids * attention_mask).float().sum(1, keepdim=True) + int(
            input_ids.shape[1]
        )
        return self


def test_a_graph_that_holds_the_traced_length_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Answering cannot be exported .*self-check differed by"):
        onnx_runtime.Session(Answering(), [batch_of(3, 1)], lambda logits: logits)


def test_quantising_leaves_the_programs_logging_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_model.save_roberta(tmp_path)
    before = list(logging.getLogger().handlers), list(logging.getLogger().filters)
    assert (
        GoEmotionsClassifier(tmp_path, dtype="int8", backend="onnxruntime").backend_used
        == "onnxruntime"
    )
    assert not caplog.records
    assert (list(logging.getLogger().handlers), list(logging.getLogger().filters)) == before


def _folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("goemo-onnx-*"))


@pytest.fixture
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.mark.parametrize("dtype", ["float32", "int8"])
@pytest.mark.usefixtures("_temporary")
def test_only_the_graph_that_runs_stays_on_disk_and_goes_with_its_owner(
    dtype: str, tmp_path: Path
) -> None:
    classifier = GoEmotionsClassifier(
        tiny_model.save_roberta(tmp_path), dtype=dtype, backend="onnxruntime"
    )
    (folder,) = _folders()
    assert len([path for path in folder.iterdir() if path.name != LOCK]) == 1
    del classifier
    gc.collect()
    assert not _folders()


@pytest.mark.usefixtures("_temporary")
def test_a_graph_that_is_refused_leaves_no_folder() -> None:
    with pytest.raises(ModelError):
        onnx_runtime.Session(Answering(), [batch_of(3, 1)], lambda logits: logits)
    gc.collect()
    assert not _folders()


@pytest.mark.usefixtures("_temporary")
def test_a_forked_process_that_ends_leaves_the_folder_to_its_owner(tmp_path: Path) -> None:
    folder = Scratch("goemo-onnx-", tmp_path)
    onnx_runtime._remove(folder, os.getpid() + 1)
    assert folder.path.is_dir()


@pytest.mark.usefixtures("_temporary")
def test_other_numbers_of_threads_are_answered_when_the_graph_s_file_was_cleared_away(
    tmp_path: Path,
) -> None:
    classifier = GoEmotionsClassifier(tiny_model.save_roberta(tmp_path), backend="onnxruntime")
    expected, before = classifier.predict(TEXTS)[1], torch.get_num_threads()
    for folder in _folders():
        shutil.rmtree(folder)
    torch.set_num_threads(before + 1)
    try:
        np.testing.assert_allclose(classifier.predict(TEXTS)[1], expected, atol=1e-6)
    finally:
        torch.set_num_threads(before)
